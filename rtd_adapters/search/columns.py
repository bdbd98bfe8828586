"""Ways to make a composed query, each a column of results beside the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rtd_adapters.clip.text import require_strength
from rtd_adapters.errors import UsageError
from rtd_adapters.evaluation.queries import COMPOSED, Way
from rtd_adapters.evaluation.rivals import RIVALS

BASE, PATCHED = "base", "patched"
BETWEEN = 0.5
"""The strength that a comparison shows where none is named."""
COMPARED = ("sum", "slerp")
"""Rivals that a comparison shows."""


@dataclass(frozen=True)
class Column:
    """One way to make composed queries."""

    name: str
    """Stands above the column."""
    about: str
    """What it is, in a line."""
    strength: float = 0.0
    """Of the patch in the text tower; 0 is the base tower."""
    way: Way = field(default=COMPOSED, hash=False)


BASE_COLUMN = Column(BASE, "by the base text tower")
RIVAL_COLUMNS = {rival.name: Column(rival.name, rival.about, way=rival) for rival in RIVALS}
"""Training-free rivals, all by the base tower."""


def patched_column(strength: float = 1.0) -> Column:
    """By the patched text tower, at a strength.

    Raises:
        UsageError: the strength is no finite number.
    """
    require_strength(strength)
    if strength == 0:
        return BASE_COLUMN
    name = PATCHED if strength == 1 else f"strength {strength:g}"
    return Column(name, f"by the text tower with the patch at strength {strength:g}", strength)


def rival_columns(names: Sequence[str]) -> tuple[Column, ...]:
    """Columns of rivals, by name.

    Raises:
        UsageError: there is no such rival.
    """
    for name in names:
        if name not in RIVAL_COLUMNS:
            known = ", ".join(RIVAL_COLUMNS)
            raise UsageError(f"there is no rival {name!r}. Use one of {known}.")
    return tuple(RIVAL_COLUMNS[name] for name in names)


def different(columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns in their order, each once."""
    return tuple(dict.fromkeys(columns))
