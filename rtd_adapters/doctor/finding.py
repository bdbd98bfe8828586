"""What rtd says of a path."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path


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


def typed(path: Path | str) -> str:
    """A path, or another word from outside, as it is typed into a shell; never as an option."""
    word = str(path)
    return shlex.quote(f"./{word}" if word.startswith("-") else word)
