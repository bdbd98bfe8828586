"""Quantities of a diagnosis: means over queries, their intervals, and what is said of a change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rtd_adapters.evaluation.bootstrap import interval, statistic_interval
from rtd_adapters.evaluation.result import PER_CENT, Diagnosis, Outcome, Series
from rtd_adapters.evaluation.scores import less, mean

POINTS = "points"
"""Unit of a change of per cent."""

Parts = Sequence[Tensor]
"""For each part of a benchmark, [queries] values."""
Interval = tuple[float, float]


def headline(outcomes: Sequence[Sequence[Outcome]]) -> tuple[str, list[Tensor]]:
    """A benchmark's first metric, and its values part by part, in per cent."""
    name = next(iter(outcomes[0][0].values))
    return name, [torch.tensor([100 * one.values[name] for one in part]) for part in outcomes]


def is_tie(ends: Interval) -> bool:
    """Whether an interval of a difference covers 0."""
    return ends[0] <= 0 <= ends[1]


@dataclass
class Measures:
    """Figures of one diagnosis, as they are taken."""

    figures: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, parts: Parts, unit: str = PER_CENT) -> None:
        """A mean over queries."""
        self._note(name, mean(parts), interval(parts), unit)

    def compare(self, name: str, before: Parts, after: Parts, unit: str = PER_CENT) -> str:
        """A mean before and after, and its change, paired by query; returns what is said of it."""
        self.add(f"{name}_before", before, unit)
        self.add(f"{name}_after", after, unit)
        self.add(f"{name}_change", less(after, before), _of_change(unit))
        return self.change(f"{name}_change")

    def compare_statistic(
        self,
        name: str,
        before: Callable[[Tensor], Tensor],
        after: Callable[[Tensor], Tensor],
        count: int,
        unit: str,
    ) -> str:
        """As `compare`, of a statistic that is no mean; see `statistic_interval`."""
        whole = torch.full((1, count), 1 / count, dtype=torch.float64)
        for end, unit_of, statistic in (
            ("before", unit, before),
            ("after", unit, after),
            ("change", _of_change(unit), lambda weights: after(weights) - before(weights)),
        ):
            ends = statistic_interval(statistic, count)
            self._note(f"{name}_{end}", statistic(whole).item(), ends, unit_of)
        return self.change(f"{name}_change")

    def change(self, name: str) -> str:
        """A change in words: a tie where its interval covers 0."""
        value, (low, high) = self.figures[name], self.intervals[name]
        places = 1 if self.units.get(name) == POINTS else 3
        ends = f"{low:+.{places}f} to {high:+.{places}f}"
        size = "" if is_tie((low, high)) else f" {abs(value):.{places}f}"
        return f"{self.direction(name)}{size} ({ends})"

    def direction(self, name: str) -> str:
        """`up` or `down`, or `a tie`."""
        if is_tie(self.intervals[name]):
            return "a tie"
        return "up" if self.figures[name] > 0 else "down"

    def diagnosis(
        self, name: str, reading: str, series: Series | None = None, across: str = "", up: str = ""
    ) -> Diagnosis:
        """All of it, with a sentence."""
        figures, units, intervals = self.figures, self.units, self.intervals
        return Diagnosis(name, figures, reading, series or {}, across, up, units, intervals)

    def _note(self, name: str, value: float, ends: Interval, unit: str) -> None:
        self.figures[name], self.intervals[name] = value, ends
        if unit != PER_CENT:
            self.units[name] = unit


def left_out(name: str, why: str) -> Diagnosis:
    """A question that a benchmark cannot answer."""
    return Diagnosis(name, {}, f"Left out: {why}.", {})


def _of_change(unit: str) -> str:
    return POINTS if unit == PER_CENT else f"change of {unit}"
