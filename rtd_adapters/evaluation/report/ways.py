"""The section that shows a product's ways to search with a patch, as HTML."""

from __future__ import annotations

from html import escape

from rtd_adapters.evaluation.result import Column, Result
from rtd_adapters.evaluation.ways import Ways


def ways_section(ways: Ways) -> str:
    """A row for each way, a column for each metric of composed queries and of plain captions; per
    cent, with the change from base and its interval."""
    asked = ways.composed, ways.captions
    over = "".join(
        f'<th colspan="{len(one.base)}">{what}, {escape(one.benchmark)}</th>'
        for what, one in zip(("composed queries", "plain captions"), asked, strict=True)
    )
    metrics = "".join(f"<th>{escape(metric)}</th>" for one in asked for metric in one.base)
    rows = "".join(
        f'<tr><td>{escape(way.queries_by)}</td><td class="name">{escape(way.captions_by)}</td>'
        f"{_cells(ways.composed, way.composed)}{_cells(ways.captions, way.captions)}</tr>"
        for way in ways.ways
    )
    return (
        "<h2>Ways to search with the patch</h2><p>Which encoder takes composed queries, and which "
        "plain captions. Below each figure its change from base, in points, and the 95 % "
        "interval of that.</p>"
        f'<div class="wide"><table><tr><th></th><th></th>{over}</tr>'
        f'<tr><th>queries by</th><th class="name">captions by</th>{metrics}</tr>{rows}'
        "</table></div>"
    )


def _cells(base: Result, column: Column) -> str:
    return "".join(_cell(base, column, metric) for metric in column.figures)


def _cell(base: Result, column: Column, metric: str) -> str:
    figure, (low, high) = column.figures[metric], column.intervals[metric]
    tone = "up" if low > 0 else "down" if high < 0 else ""
    return (
        f'<td class="{tone}">{figure:.1f}<br><small>{figure - base.base[metric]:+.1f}</small>'
        f"<br><small>{low:+.1f} to {high:+.1f}</small></td>"
    )
