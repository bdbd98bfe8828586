"""Values that a device has not computed yet, and that nobody waits for until they are read."""

from __future__ import annotations

import torch
from torch import Tensor


class Late:
    """A number on its way from the device.

    On a GPU it is copied to pinned memory behind the work that makes it. Reading it waits for that
    work alone, and not for what was queued since, as `Tensor.item` would.

    Args:
        value: a scalar.
    """

    def __init__(self, value: Tensor) -> None:
        self._value, self._arrived = value, None
        if value.device.type == "cuda":
            self._value = torch.empty((), dtype=value.dtype, pin_memory=True)
            self._value.copy_(value, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    def read(self) -> float:
        """The number, once it is there."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._value.item()
