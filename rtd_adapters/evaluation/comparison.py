"""Results of one benchmark beside each other: what was searched, and which searches differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from rtd_adapters.errors import EvaluationError
from rtd_adapters.evaluation.result import BASE, PATCHED, SHOWN, QueryRecord, Result
from rtd_adapters.evaluation.scores import Scores, intervals, p_values, scores

SIGNIFICANT = 0.05
"""Below it, an adjusted p-value is called a difference."""


@dataclass(frozen=True)
class Contender:
    """A column of one result, or one that several results have alike."""

    name: str
    column: str
    """`base`, `patched` or a further column."""
    figures: Mapping[str, float]
    scores: Scores
    """Empty for a file of an earlier version, which keeps no values."""


@dataclass(frozen=True)
class Difference:
    """Two contenders in one metric, in points of per cent."""

    metric: str
    first: str
    second: str
    change: float
    """Second minus first."""
    interval: tuple[float, float]
    """95 %, of the change."""
    p_value: float
    adjusted: float
    """The p-value after Holm 1979, over all pairs in this metric."""

    @property
    def is_significant(self) -> bool:
        """Whether the two differ, as far as these queries say."""
        return self.adjusted < SIGNIFICANT


def require_comparable(results: Mapping[str, Result]) -> None:
    """Refuse results that are not of the same queries over the same galleries.

    Raises:
        EvaluationError: something differs; it is named.
    """
    (name, first), *others = results.items()
    for other, result in others:
        for what, (own, found) in _compared(first, result):
            if own != found:
                raise EvaluationError(
                    f"{name} and {other} are not of the same {what}: {own} against {found}. "
                    "Compare results of one benchmark, evaluated on the same files."
                )


def contenders(results: Mapping[str, Result]) -> list[Contender]:
    """Base columns first, then patched ones, then all others.

    Columns of one name that have the same values, as the base of several results mostly has, are
    one contender.

    Args:
        results: by name, comparable.
    """
    names = list(dict.fromkeys([BASE, PATCHED, *(n for r in results.values() for n in r.columns)]))
    found: list[Contender] = []
    for column in names:
        figures = {name: own for name, r in results.items() if (own := _figures(r, column))}
        alike: dict[str, list[str]] = {}
        for name, own in figures.items():
            alike.setdefault(repr((own, results[name].values.get(column))), []).append(name)
        for owners in alike.values():
            result = results[owners[0]]
            values = scores(result.values.get(column, {}), [q.part for q in result.queries])
            title = column if len(owners) == len(results) else f"{column} ({', '.join(owners)})"
            found.append(Contender(title, column, figures[owners[0]], values))
    return found


def differences(found: Sequence[Contender]) -> list[Difference]:
    """Every pair of base and patched columns, metric by metric; those without values are left out.

    Args:
        found: of comparable results.
    """
    own = [one for one in found if one.column in (BASE, PATCHED) and one.scores]
    pairs = list(combinations(own, 2))
    sure = [(intervals(b.scores, a.scores), p_values(b.scores, a.scores)) for a, b in pairs]
    listed = []
    for metric in own[0].figures if own else ():
        adjusted = holm([chances[metric] for _, chances in sure])
        for (first, second), (ends, chances), chance in zip(pairs, sure, adjusted, strict=True):
            change = second.figures[metric] - first.figures[metric]
            names = metric, first.name, second.name
            listed.append(Difference(*names, change, ends[metric], chances[metric], chance))
    return listed


def holm(chances: Sequence[float]) -> list[float]:
    """P-values adjusted for how many there are, in their order (Holm 1979)."""
    adjusted = [0.0] * len(chances)
    least = 0.0
    for done, place in enumerate(sorted(range(len(chances)), key=chances.__getitem__)):
        least = max(least, min(1.0, (len(chances) - done) * chances[place]))
        adjusted[place] = least
    return adjusted


def _figures(result: Result, column: str) -> Mapping[str, float] | None:
    """None where the result has no such column."""
    if column in result.columns:
        return result.columns[column].figures
    return {BASE: result.base, PATCHED: result.patched}.get(column)


def _compared(first: Result, other: Result) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """What has to be the same, with what both say; the coarsest first."""
    yield "benchmark", (first.benchmark, other.benchmark)
    yield "split", (first.split, other.split)
    yield "gallery", (first.settings.get("gallery"), other.settings.get("gallery"))
    yield "number of queries", (len(first.queries), len(other.queries))
    for own, found in zip(first.queries, other.queries, strict=True):
        yield "queries", (_asked(own), _asked(found))
    yield "metrics", (list(first.base), list(other.base))
    files = [result.settings.get("annotations_sha256") for result in (first, other)]
    if all(files):  # files of earlier versions have none
        yield "annotations", (files[0], files[1])


def _asked(query: QueryRecord) -> tuple[str, str, list[str], int]:
    """What two results say alike of one query: its right answers as far as both name them."""
    return query.part, query.id, query.targets[:SHOWN], query.answers
