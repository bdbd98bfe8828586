"""A product's ways to search with a patch: which encoder takes composed queries, which captions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rtd_adapters.errors import EvaluationError, UsageError
from rtd_adapters.evaluation.benchmark import Benchmark
from rtd_adapters.evaluation.result import BASE, PATCHED, Column, Result

COMPOSED, CAPTIONS = "composed", "captions"
"""What a product is asked."""
ENCODER = ("patch_sha256", "strength", "backbone")
"""Settings of a result that say what its column `patched` is."""


@dataclass(frozen=True)
class Way:
    """An encoder for composed queries and one for plain captions; the gallery serves both."""

    queries_by: str
    """Column of the composed result: base, patched, or a further strength."""
    captions_by: str
    """Likewise, of the captions' result."""
    composed: Column
    captions: Column


@dataclass(frozen=True)
class Ways:
    """Results of composed queries and of plain captions, by the same encoders."""

    composed: Result
    captions: Result
    ways: tuple[Way, ...]
    """Base for everything, which differences are from; the patch for everything; the patch for
    composed queries alone; each further strength for everything."""

    def records(self) -> list[dict[str, Any]]:
        """One flat dict for each way, question and metric, for `pandas.DataFrame`."""
        return list(self._records())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without those of queries."""
        about = {
            what: {"method": own.method, "benchmark": own.benchmark, "settings": own.settings}
            for what, own in ((COMPOSED, self.composed), (CAPTIONS, self.captions))
        }
        return {**about, "ways": self.records()}

    def _records(self) -> Iterator[dict[str, Any]]:
        for way in self.ways:
            asked = (COMPOSED, self.composed, way.composed), (CAPTIONS, self.captions, way.captions)
            for what, result, column in asked:
                for metric, figure in column.figures.items():
                    low, high = column.intervals[metric]
                    yield {
                        "queries_by": way.queries_by,
                        "captions_by": way.captions_by,
                        "asked": what,
                        "benchmark": result.benchmark,
                        "metric": metric,
                        "figure": figure,
                        "change": figure - result.base[metric],
                        "low": low,
                        "high": high,
                        "p_value": column.p_values[metric],
                    }


def three_ways(composed: Result, captions: Result) -> Ways:
    """Put two results together, way by way.

    Args:
        composed: of a benchmark of composed queries.
        captions: of plain captions, by the same encoders; further strengths are taken that both
            have.

    Raises:
        EvaluationError: one is of the other kind of questions, has no patched column or no
            p-values, or they are not of the same encoders.
    """
    for result, plain in ((composed, False), (captions, True)):
        _require_kind(result, plain)
        if result.patched is None or result.p_values.keys() != result.base.keys():
            raise EvaluationError(
                f"the result on {result.benchmark} has no patched column with p-values, and so no "
                "ways to compare. Evaluate again, with --patch."
            )
    for name in ENCODER:
        one, other = composed.settings.get(name), captions.settings.get(name)
        if one != other or one is None:
            raise EvaluationError(
                f"the results on {composed.benchmark} and {captions.benchmark} are not known to be "
                f"of one encoder: {name} is {one} and {other}. Evaluate both with the same patch."
            )
    strengths = [name for name in composed.columns if name in captions.columns]
    pairs = [(BASE, BASE), (PATCHED, PATCHED), (PATCHED, BASE), *((n, n) for n in strengths)]
    ways = (
        Way(one, other, _column(composed, one), _column(captions, other)) for one, other in pairs
    )
    return Ways(composed, captions, tuple(ways))


def first_metric(result: Result) -> str:
    """The metric to look at first: where a benchmark has parts, the first that is averaged."""
    averages = [name for name in result.base if name.startswith("average ")]
    return (averages or list(result.base))[0]


def require_asks(benchmark: Benchmark, *, plain: bool) -> None:
    """Refuse composed queries where plain captions are wanted, and the other way round.

    Raises:
        UsageError: the benchmark asks the others.
    """
    if plain and any(part.references for part in benchmark.parts):
        raise UsageError(
            f"{benchmark.name} asks composed queries. --captions-benchmark takes plain captions, "
            "such as demo-captions or coco-captions."
        )
    if not plain and not all(part.references for part in benchmark.parts):
        raise UsageError(
            f"{benchmark.name} asks plain captions. With --captions-benchmark, --benchmark takes "
            "composed queries, such as demo or cirr."
        )


def _require_kind(result: Result, plain: bool) -> None:
    if all(bool(query.reference) is not plain for query in result.queries):
        return
    wanted, found = ("plain captions", "composed queries")[:: 1 if plain else -1]
    raise EvaluationError(
        f"the result on {result.benchmark} is of {found}, where one of {wanted} belongs. Name the "
        "result of composed queries first, and that of plain captions second."
    )


def _column(result: Result, name: str) -> Column:
    if name == PATCHED:
        return Column("", result.patched or {}, result.intervals, result.p_values)
    if name == BASE:
        same = dict.fromkeys(result.base, (0.0, 0.0))
        return Column("", result.base, same, dict.fromkeys(result.base, 1.0))
    return result.columns[name]
