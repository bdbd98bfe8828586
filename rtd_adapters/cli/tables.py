"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping


def before_after(before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    """A line per metric: before, after, difference. Each unit has a heading of its own."""
    from rtd_adapters.patch.figures import Row, by_unit

    width = max(map(len, before), default=0)
    lines = []
    for unit, rows in by_unit(before, after).items():
        for first, *rest in [Row(unit, "before", "after", "change"), *rows]:
            lines.append("  ".join([f"{first:<{width}}", *(f"{text:>7}" for text in rest)]))
    return lines
