"""The devices that a command may be told to compute on."""

from __future__ import annotations

import torch

from rtd_adapters.errors import UsageError

DEVICES = ("cpu", "cuda", "mps")


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
