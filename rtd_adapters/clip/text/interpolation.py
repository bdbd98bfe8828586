"""Text towers between a base and a patched one: the one rule for every strength."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

State = Mapping[str, Tensor]


@torch.no_grad()
def interpolate(base: State, patched: State, strength: float) -> dict[str, Tensor]:
    """The tower state at `strength` on the line from `base` (0) through `patched` (1).

    At 0 and 1 it is the one or the other, bit for bit; elsewhere it is computed in fp32, on the
    base's device.
    """
    if strength in (0.0, 1.0):
        return dict(patched if strength else base)
    return {
        name: torch.lerp(base[name].float(), tensor.to(base[name].device).float(), strength)
        for name, tensor in patched.items()
    }
