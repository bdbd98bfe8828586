"""What experiments found: every figure with its conditions, and what the seeds have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from rtd_adapters.evaluation.result import Result
from rtd_adapters.jobs.reproduce.config import Config
from rtd_adapters.jobs.reproduce.plan import Cell, Skipped

CELL = ("method", "backbone", "triplets", "training")
"""Names of a cell's four parts."""
SHOWN = (
    "prompt",
    "gallery",
    "queries",
    "text_tower_sha256",
    "image_tower_sha256",
    "projection_sha256",
    "annotations_sha256",
    "triplets_sha256",
    "patch_sha256",
    "versions",
    "python",
    "training_card",
    "training_seconds",
    "card",
    "seconds",
)
"""Conditions that stand beside every figure of a table; a result's own file holds all."""


@dataclass(frozen=True)
class Finding:
    """A patch's result on a benchmark, in an experiment."""

    experiment: str
    cell: Cell
    seed: int
    benchmark: str
    """By the file's name."""
    result: Result

    def names(self) -> dict[str, Any]:
        """Which of the file's things it is of."""
        parts = dict(zip(CELL, self.cell, strict=True))
        return {"experiment": self.experiment, **parts, "seed": self.seed}

    def conditions(self) -> dict[str, Any]:
        """What stands beside every figure."""
        return {name: self.result.settings.get(name) for name in SHOWN}

    def figures(self) -> list[dict[str, Any]]:
        """The metrics: base, patched, change, and the change's 95 % interval."""
        return [
            {name: row[name] for name in ("metric", "base", "patched", "change", "low", "high")}
            for row in self.result.records()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        place = {"benchmark": self.benchmark, "split": self.result.split}
        return {
            **self.names(),
            **place,
            "figures": self.figures(),
            "conditions": {name: v for name, v in self.result.settings.items() if name != "asked"},
        }


@dataclass(frozen=True)
class Spread:
    """A number over the seeds."""

    mean: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Mean and range."""
        return cls(fmean(values), min(values), max(values))


@dataclass(frozen=True)
class Summary:
    """A metric over all seeds of a cell, on a benchmark; per cent."""

    experiment: str
    cell: Cell
    benchmark: str
    metric: str
    seeds: tuple[int, ...]
    base: Spread
    patched: Spread
    change: Spread
    low: float
    """The lowest end of the seeds' 95 % intervals of the change."""
    high: float


@dataclass(frozen=True)
class Findings:
    """All that was found, and what was skipped."""

    config: Config
    found: tuple[Finding, ...]
    skipped: tuple[Skipped, ...]

    def summaries(self) -> list[Summary]:
        """Every metric, with its seeds taken together; in the order of the file."""
        groups: dict[tuple[str, Cell, str], list[Finding]] = {}
        for finding in self.found:
            key = finding.experiment, finding.cell, finding.benchmark
            groups.setdefault(key, []).append(finding)
        return [summary for group in groups.values() for summary in _summaries(group)]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as results.json holds them."""
        return {
            "title": self.config.title,
            "results": [finding.to_dict() for finding in self.found],
            "over_seeds": [asdict(summary) for summary in self.summaries()],
            "skipped": [asdict(skipped) for skipped in self.skipped],
        }


def _summaries(group: Sequence[Finding]) -> Iterator[Summary]:
    first = group[0]
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for finding in group:
        for row in finding.figures():
            rows.setdefault(row["metric"], []).append(row)
    for metric, several in rows.items():
        base, patched, change = (
            Spread.of([row[name] for row in several]) for name in ("base", "patched", "change")
        )
        yield Summary(
            first.experiment,
            first.cell,
            first.benchmark,
            metric,
            tuple(finding.seed for finding in group),
            base,
            patched,
            change,
            min(row["low"] for row in several),
            max(row["high"] for row in several),
        )
