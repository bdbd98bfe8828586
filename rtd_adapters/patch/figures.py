"""A patch's figures for the eye: each unit in a table of its own, for none shares a column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

DECIMALS = {"per cent": 1, "cosine": 3}


class Row(NamedTuple):
    """One metric, rounded."""

    metric: str
    before: str
    after: str
    change: str


def by_unit(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, list[Row]]:
    """Rows under their unit: a metric whose name ends in `cosine` is one, any other per cent."""
    tables: dict[str, list[Row]] = {}
    for metric, old in before.items():
        unit = "cosine" if metric.endswith("cosine") else "per cent"
        new, places = after[metric], DECIMALS[unit]
        values = (f"{old:.{places}f}", f"{new:.{places}f}", f"{new - old:+.{places}f}")
        tables.setdefault(unit, []).append(Row(metric, *values))
    return tables
