"""Faults of a sample of triplets, counted, with the worst triplets of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rtd_adapters.triplets.checking.sense import FAULTS, UNGRAMMATICAL, Sense
from rtd_adapters.triplets.records import Triplet

SHOWN = 5
"""Examples of each fault."""


@dataclass
class Findings:
    """What was found in a sample."""

    judged: int = 0
    """Triplets of the sample."""
    faults: Counter[str] = field(default_factory=Counter)
    """Name to number of triplets that have it."""
    worse_references: int = 0
    """References that are worse English than their targets, which is what chance brings."""
    sound: int = 0
    """Triplets without a fault."""
    examples: dict[str, list[Triplet]] = field(default_factory=dict)
    """Of each fault, no triplet twice if others have it."""
    means: str = ""
    """What they were judged by."""

    def share(self, fault: str) -> float:
        """Of the sample, that has a fault; for English, beyond what chance brings."""
        chance = self.worse_references if fault == UNGRAMMATICAL else 0
        return max(0, self.faults[fault] - chance) / max(1, self.judged)


def findings(triplets: Sequence[Triplet], sense: Sense) -> Findings:
    """Judge each triplet of a sample."""
    found = Findings(judged=len(triplets), means=sense.means)
    named = [(sense.faults(triplet), triplet) for triplet in triplets]
    for faults, triplet in named:
        found.faults.update(faults)
        found.sound += not faults
        found.worse_references += sense.is_worse_english(triplet.target, triplet.reference)
    named.sort(key=lambda pair: -len(pair[0]))
    shown: set[Triplet] = set()
    for fault in FAULTS:
        worst = [triplet for faults, triplet in named if fault in faults]
        worst.sort(key=lambda triplet: triplet in shown)
        if worst:
            found.examples[fault] = worst[:SHOWN]
            shown.update(worst[:SHOWN])
    return found
