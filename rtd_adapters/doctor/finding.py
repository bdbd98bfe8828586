"""What rtd says of a path."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What something is, and what follows from it."""

    what: str
    """In a line."""
    method: str | None = None
    """The method that fits, for `--method`."""
    layout: str | None = None
    """How it names a text tower's tensors."""
    commands: tuple[str, ...] = ()
    """What to type, the first choice first."""
    traps: tuple[str, ...] = ()
    """What goes wrong with it, here and now."""
