"""The devices that a command may be told to compute on."""

from __future__ import annotations

import torch
from torch import Tensor

from rtd_adapters.errors import UsageError

DEVICES = ("cpu", "cuda", "mps")


def usual_device(name: str | None = None) -> torch.device:
    """Where one process computes by itself: the device of that name, or what accelerate would
    choose."""
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cpu" and torch.backends.mps.is_available():
            name = "mps"
    return torch.device(name)


def onto(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device. To a GPU it goes from pinned memory, so that nobody waits for it."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=device.type != "mps")


def require_device(name: str | None) -> None:
    """Refuse a device that this machine lacks.

    Args:
        name: of the device; None leaves the choice to accelerate.

    Raises:
        UsageError: it is not among `DEVICES`, or torch finds none of its kind.
    """
    if name is None or name == "cpu":
        return
    if name not in DEVICES:
        raise UsageError(f"Unknown device {name!r}. Use one of {', '.join(DEVICES)}.")
    there = torch.cuda.is_available() if name == "cuda" else torch.backends.mps.is_available()
    if not there:
        raise UsageError(
            f"--device {name}: torch {torch.__version__} finds no such device here. Leave --device "
            "out or pass cpu, or install torch for your driver."
        )
