"""Line charts as SVG, drawn in the colours of the page they stand in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape

from rtd_adapters.evaluation.result import Series

Place = Callable[[float, float], tuple[float, float]]
WIDTH, HEIGHT = 460, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 112, 14, 40


def line_chart(series: Series, across: str, up: str) -> str:
    """An SVG element: a line for each series, named at its end.

    Args:
        series: name -> points (x, y), ascending in x.
        across: what x is.
        up: what y is.
    """
    points = [point for line in series.values() for point in line]
    if not points:
        return ""
    low_x, high_x = _range([x for x, _ in points])
    low_y, high_y = _range([y for _, y in points])

    def place(x: float, y: float) -> tuple[float, float]:
        inner = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        return (
            LEFT + inner[0] * (x - low_x) / (high_x - low_x),
            TOP + inner[1] * (high_y - y) / (high_y - low_y),
        )

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(up)}">']
    for value in (low_y, (low_y + high_y) / 2, high_y):
        _, y = place(low_x, value)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    for value in (low_x, high_x):
        x, _ = place(value, low_y)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 22}" text-anchor="middle">{value:.3g}</text>')
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(across)}</text>'
    )
    parts += _lines(series, place)
    return "".join([*parts, "</svg>"])


def bar_chart(figures: Mapping[str, float]) -> str:
    """An SVG element: a bar for each figure, named at its left."""
    longest = max((abs(value) for value in figures.values()), default=0)
    step = 18
    height = step * len(figures) + 8
    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="figures">']
    for row, (name, value) in enumerate(figures.items()):
        y, length = 4 + step * row, 180 * abs(value) / longest if value else 0
        parts.append(f'<text x="212" y="{y + 12}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect x="218" y="{y + 2}" width="{length:.1f}" height="12" rx="2"/>')
        parts.append(f'<text x="{222 + length:.1f}" y="{y + 12}">{value:.2f}</text>')
    return "".join([*parts, "</svg>"])


def _lines(series: Series, place: Place) -> list[str]:
    drawn: list[str] = []
    taken: list[float] = []
    for number, (name, line) in enumerate(series.items()):
        color = f"s{number % 4}"
        points = [place(*point) for point in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        drawn.append(f'<polyline class="line {color}" points="{path}"/>')
        if len(points) < 30:
            drawn += [
                f'<circle class="{color}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in points
            ]
        x, y = points[-1]
        while any(abs(y - other) < 12 for other in taken):
            y += 12
        taken.append(y)
        drawn.append(f'<text class="{color}" x="{x + 6:.1f}" y="{y + 4:.1f}">{escape(name)}</text>')
    return drawn


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
