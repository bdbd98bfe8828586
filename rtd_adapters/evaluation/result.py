"""What evaluations and diagnoses found, with the conditions they found it under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rtd_adapters.io.entries import Entry
from rtd_adapters.io.json_files import read_json, write_json

REMEDY = "This is no result of rtd eval; evaluate again."

BASE, PATCHED = "base", "patched"
"""The first two columns of every table."""
SHOWN = 10
"""Places of a ranking that a record keeps, and right answers that it keeps wherever they stand."""
PER_CENT, COSINE, DISTANCE = "per cent", "cosine", "distance"
"""Units of a diagnosis; a change of one is a unit of its own."""

Series = Mapping[str, Sequence[tuple[float, float]]]
"""Name -> points (x, y), ascending in x."""


@dataclass(frozen=True)
class Outcome:
    """One query's ranking, as far as anybody asks for it."""

    values: Mapping[str, float]
    """Metric -> value between 0 and 1; empty where the server keeps the answers."""
    rank: int | None
    top: list[str]
    """Ids of the first 50."""
    group: list[str]
    """CIRR's subset, ranked."""


@dataclass(frozen=True)
class QueryRecord:
    """One query, before and after."""

    id: str
    part: str
    reference: str
    text: str
    targets: list[str]
    """Ids of the first ten right answers, the annotated one first, and of all those among the
    places below: an id there is a right answer if it is here."""
    category: str
    base_rank: int | None
    """Of the best right answer, 1 is the top; None where the server keeps the answers."""
    patched_rank: int | None
    base_top: list[str]
    """Ids of the first ten."""
    patched_top: list[str]
    answers: int
    """How many right answers there are."""


@dataclass(frozen=True)
class Column:
    """The same queries asked another way: a rival, or another strength of the patch; per cent."""

    about: str
    """What it is, with source and settings."""
    figures: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    """Metric -> 95 % interval of it minus base."""
    p_values: dict[str, float]
    """Metric -> p-value of its difference from base."""


@dataclass(frozen=True)
class Result:
    """Figures in per cent."""

    method: str
    benchmark: str
    split: str
    base: dict[str, float]
    patched: dict[str, float] | None = None
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Metric -> 95 % interval of patched minus base, from a paired bootstrap over queries."""
    queries: list[QueryRecord] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    """Prompt, preprocessing, gallery size, strength, versions: what explains most gaps."""
    p_values: dict[str, float] = field(default_factory=dict)
    """Metric -> p-value of patched minus base, from a paired permutation test over queries; empty
    in files of earlier versions, as all that follows."""
    columns: dict[str, Column] = field(default_factory=dict)
    """Further columns of the table, by name."""
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """`base`, `patched` or a further column -> metric -> value between 0 and 1 of each of the
    queries, in their order. Metrics are the benchmark's, without the names of parts."""

    def records(self) -> list[dict[str, Any]]:
        """One flat dict for each metric, for `pandas.DataFrame`."""
        patched = self.patched or {}
        return [
            {
                "method": self.method,
                "benchmark": self.benchmark,
                "split": self.split,
                "metric": name,
                "base": value,
                "patched": patched.get(name),
                "change": patched[name] - value if name in patched else None,
                "low": self.intervals.get(name, (None, None))[0],
                "high": self.intervals.get(name, (None, None))[1],
                "p_value": self.p_values.get(name),
                **{other: column.figures[name] for other, column in self.columns.items()},
            }
            for name, value in self.base.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `save` writes them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Result:
        """The inverse of `to_dict`.

        Raises:
            FileError: something is missing or of another kind.
        """
        return _result(Entry("the result", values, REMEDY))

    def save(self, path: Path) -> None:
        """Write JSON.

        Raises:
            FileError: the disk refuses; nothing is left half-written.
        """
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: Path) -> Result:
        """Read what `save` wrote.

        Raises:
            FileError: the file is missing, or no result; what is wrong in it is named.
        """
        return _result(Entry(str(path), read_json(path), REMEDY))


@dataclass(frozen=True)
class Diagnosis:
    """One question's answer."""

    name: str
    figures: dict[str, float]
    reading: str
    """One sentence."""
    series: Series
    """For a chart; empty where there is none to draw."""
    across: str = ""
    up: str = ""
    units: dict[str, str] = field(default_factory=dict)
    """Figure -> unit, where that is not per cent."""
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Figure -> 95 % interval, from a bootstrap over queries, where one was taken."""

    def by_unit(self) -> dict[str, dict[str, float]]:
        """Unit -> figures: no two units share an axis."""
        found: dict[str, dict[str, float]] = {}
        for name, value in self.figures.items():
            found.setdefault(self.units.get(name, PER_CENT), {})[name] = value
        return found


def _result(read: Entry) -> Result:
    base, changes = _figures(read.entry("base")), _intervals(read.entry("intervals"))
    patched = _figures(read.entry(PATCHED)) if PATCHED in read else None
    if patched is not None and not base.keys() == patched.keys() == changes.keys():
        read.refuse("'base', 'patched' and 'intervals' are not of the same metrics")
    settings = read.entry("settings")
    settings.require_writable()
    queries = [_query(query) for query in read.entries("queries")]
    return Result(
        read.text("method"),
        read.text("benchmark"),
        read.text("split"),
        base,
        patched,
        changes,
        queries,
        {name: settings.value[name] for name in settings},
        _figures(read.entry("p_values")) if "p_values" in read else {},
        _columns(read.entry("columns"), base) if "columns" in read else {},
        _values(read.entry("values"), len(queries)) if "values" in read else {},
    )


def _columns(read: Entry, base: Mapping[str, float]) -> dict[str, Column]:
    return {name: _column(read.entry(name), base) for name in read}


def _column(read: Entry, base: Mapping[str, float]) -> Column:
    column = Column(
        read.text("about"),
        _figures(read.entry("figures")),
        _intervals(read.entry("intervals")),
        _figures(read.entry("p_values")),
    )
    if any(
        own.keys() != base.keys() for own in (column.figures, column.intervals, column.p_values)
    ):
        read.refuse("it is not of the same metrics as 'base'")
    return column


def _values(read: Entry, count: int) -> dict[str, dict[str, list[float]]]:
    values = {}
    for name in read:
        metrics = read.entry(name)
        values[name] = {metric: metrics.numbers(metric) for metric in metrics}
        if any(len(column) != count for column in values[name].values()):
            metrics.refuse(f"a metric has not the {count} values of as many queries")
    return values


def _figures(read: Entry) -> dict[str, float]:
    return {name: read.number(name) for name in read}


def _intervals(read: Entry) -> dict[str, tuple[float, float]]:
    return {name: _interval(read, name) for name in read}


def _interval(read: Entry, name: str) -> tuple[float, float]:
    ends = read.numbers(name)
    if len(ends) != 2:
        read.refuse(f"{name!r} has {len(ends)} ends, where two belong")
    return ends[0], ends[1]


def _query(read: Entry) -> QueryRecord:
    return QueryRecord(
        read.text("id"),
        read.text("part"),
        read.text("reference"),
        read.text("text"),
        list(read.texts("targets")),
        read.text("category"),
        _rank(read, "base_rank"),
        _rank(read, "patched_rank"),
        list(read.texts("base_top")),
        list(read.texts("patched_top")),
        _answers(read),
    )


def _answers(read: Entry) -> int:
    """In files of earlier versions all right answers are named, and not counted."""
    named = len(read.texts("targets"))
    if "answers" not in read:
        return named
    answers = read.number("answers")
    if answers < named or answers != int(answers):
        read.refuse(f"'answers' is {answers}, and 'targets' names {named}")
    return int(answers)


def _rank(read: Entry, name: str) -> int | None:
    if name not in read:
        return None
    rank = read.number(name)
    if rank < 1 or rank != int(rank):
        read.refuse(f"{name!r} is {rank}, where a rank belongs")
    return int(rank)
