"""The table of a product's ways to search with a patch, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtd_adapters.evaluation.result import Column, Result
    from rtd_adapters.evaluation.ways import Ways


def ways_table(ways: Ways) -> list[str]:
    """A row for each way: which encoder takes what, then the first metric of composed queries and
    that of plain captions, each with its change from base."""
    asked = (ways.composed, ways.captions)
    rows = [["queries by", "captions by", *_heads(ways.composed), *_heads(ways.captions)]]
    for way in ways.ways:
        names = [way.queries_by, way.captions_by]
        columns = zip(asked, (way.composed, way.captions), strict=True)
        rows.append([*names, *(cell for pair in columns for cell in _cells(*pair))])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    over = [sum(widths[first:last]) + 2 * (last - first) for first, last in ((0, 2), (2, 5))]
    titles = [f"{result.benchmark}, per cent" for result in asked]
    head = f"{'':<{over[0]}}{titles[0]:<{over[1]}}{titles[1]}"
    return [head, *(_line(row, widths) for row in rows)]


def _heads(result: Result) -> list[str]:
    from rtd_adapters.evaluation.ways import first_metric

    return [first_metric(result), "change", "95 % interval"]


def _cells(result: Result, column: Column) -> Iterator[str]:
    metric = _heads(result)[0]
    low, high = column.intervals[metric]
    yield f"{column.figures[metric]:.2f}"
    yield f"{column.figures[metric] - result.base[metric]:+.2f}"
    yield f"{low:+.2f} to {high:+.2f}"


def _line(row: list[str], widths: list[int]) -> str:
    """Names to the left, figures to the right."""
    signs = ["<", "<", *(">" * (len(row) - 2))]
    return "  ".join(f"{c:{s}{w}}" for c, s, w in zip(row, signs, widths, strict=True)).rstrip()
