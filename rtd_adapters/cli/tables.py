"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping


def before_after(before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    """A line per metric: before, after, difference, in per cent."""
    width = max(map(len, before), default=0)
    lines = [f"{'per cent':<{width}}  {'before':>7}  {'after':>7}  {'change':>7}"]
    for name, old in before.items():
        new = after[name]
        lines.append(f"{name:<{width}}  {old:7.1f}  {new:7.1f}  {new - old:+7.1f}")
    return lines
