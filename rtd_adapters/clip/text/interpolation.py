"""Text towers between a base and a patched one: the one rule for every strength."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from rtd_adapters.errors import require_number

State = Mapping[str, Tensor]


def require_strength(strength: float) -> None:
    """Check that a strength is between 0, the base, and 1, the patched tower.

    Raises:
        UsageError: it is not.
    """
    require_number("--strength", strength, least=0, most=1)


@torch.no_grad()
def interpolate(base: State, patched: State, strength: float) -> dict[str, Tensor]:
    """The tower state at `strength` on the line from `base` (0) through `patched` (1).

    At 0 and 1 it is the one or the other, bit for bit; elsewhere it is computed in fp32, on the
    base's device.

    Raises:
        UsageError: `strength` is none of these.
    """
    require_strength(strength)
    if strength in (0.0, 1.0):
        return dict(patched if strength else base)
    return {
        name: torch.lerp(base[name].float(), tensor.to(base[name].device).float(), strength)
        for name, tensor in patched.items()
    }
