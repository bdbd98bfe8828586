"""What of a comparison fits into the time there is."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rtd_adapters.jobs.bench.cases import BenchCase
from rtd_adapters.jobs.bench.probe import Probe

PROBE_SHARE = 0.5
"""Of the time that is left, for one probe at most: a case that takes more could not be timed."""
MARGIN = 1.2
"""Steps side by side are allowed to be slower than a probe's by so much."""


@dataclass(frozen=True)
class Budget:
    """Time until a moment."""

    end: float
    """On `time.monotonic`'s clock."""

    @classmethod
    def of(cls, seconds: float) -> Budget:
        """From now on."""
        return cls(time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds."""
        return max(0.0, self.end - time.monotonic())

    def share(self, groups: int) -> Budget:
        """For the next of so many groups."""
        return Budget.of(self.left / groups)


def fitting(
    cases: Sequence[BenchCase], probes: Mapping[BenchCase, Probe], rounds: int, seconds: float
) -> tuple[list[BenchCase], int]:
    """The cases that can be timed side by side, and in how many rounds; none where even the fast
    engine alone does not fit.

    Rounds go first, then the cases with most beside the fast engine, then the reference.

    Args:
        cases: the reference first.
        probes: of those that were tried to their end.
        rounds: wanted.
        seconds: that there are, to build towers, take a step to warm up, and the rounds.
    """
    for chosen in _choices([case for case in cases if case in probes]):
        setup = sum(probes[case].setup_seconds for case in chosen)
        step = MARGIN * sum(probes[case].seconds for case in chosen)
        able = int((seconds - setup) / step) - 1 if chosen and step else 0
        if able >= 1:
            return chosen, min(rounds, able)
    return [], 0


def _choices(cases: list[BenchCase]) -> Iterator[list[BenchCase]]:
    for count in range(len(cases), 1, -1):
        yield cases[:count]
    yield [case for case in cases if case.engine != "reference"][:1]
