"""How a job tells what it does next, a line at a time."""

from __future__ import annotations

from collections.abc import Callable

Say = Callable[[str], None]


def silent(line: str) -> None:
    """A `Say` that says nothing."""
