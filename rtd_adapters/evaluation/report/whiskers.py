"""Figures of one unit with their intervals, as SVG: a dot and a whisker for each."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

WIDTH, LEFT, RIGHT, STEP = 460, 218, 52, 18


def whisker_chart(
    figures: Mapping[str, float], intervals: Mapping[str, tuple[float, float]], unit: str
) -> str:
    """An SVG element: a line for each figure, named at its left, from one end of its interval to
    the other; where the scale covers 0, a line stands there.

    Args:
        figures: name -> value.
        intervals: name -> ends, of every figure.
        unit: of all of them.
    """
    ends = [end for name in figures for end in intervals[name]]
    low, high = min([*ends, *figures.values()]), max([*ends, *figures.values()])
    scale = (WIDTH - LEFT - RIGHT) / ((high - low) or 1)
    height = STEP * len(figures) + 8
    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(unit)}">']
    if low <= 0 <= high:
        x = LEFT - low * scale
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}"/>')
    for row, (name, value) in enumerate(figures.items()):
        y, ends_here = 13 + STEP * row, intervals[name]
        first, at, last = (LEFT + (x - low) * scale for x in (ends_here[0], value, ends_here[1]))
        parts.append(f'<text x="212" y="{y + 4}" text-anchor="end">{escape(name)}</text>')
        line = f"{first:.1f},{y} {last:.1f},{y}"
        parts.append(f'<polyline class="line s0" points="{line}"/>')
        parts.append(f'<circle class="s0" cx="{at:.1f}" cy="{y}" r="3"/>')
        parts.append(f'<text x="{max(at, last) + 6:.1f}" y="{y + 4}">{value:.3g}</text>')
    return "".join([*parts, "</svg>"])
