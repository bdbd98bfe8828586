"""How much of a patch survives rounding to half precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def surviving_share(
    base: Mapping[str, Tensor],
    patched: Mapping[str, Tensor],
    dtype: torch.dtype,
    rounded: Callable[[str], bool] | None = None,
) -> float:
    """1 - |rounding error of the change| / |change|, in L2 norm over all tensors; 1.0 is lossless.

    Tensors whose name is not `rounded` keep their precision; by default all are. With the published
    learning rate most of a full patch is smaller than half an fp16 step of the weight it changes,
    so this is far below 1 there.
    """
    lost = change = 0.0
    for name, after in patched.items():
        before, after = base[name].double(), after.double()
        delta = after - before
        if rounded is None or rounded(name):
            kept = after.to(dtype).double() - before.to(dtype).double()
            lost += (kept - delta).square().sum().item()
        change += delta.square().sum().item()
    return 1.0 - (lost / change) ** 0.5 if change else 1.0
