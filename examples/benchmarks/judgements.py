"""How far the check of triplets agrees with judgements by hand.

    python examples/benchmarks/judgements.py > examples/benchmarks/judgements.md

Reads tests/triplets/judgements, and prints Markdown tables. Thresholds and lists of words were set
with the tuned half in sight; what to expect elsewhere is the reported half. Takes ten seconds.
"""

from __future__ import annotations

import json
import lzma
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rtd_adapters.triplets import Triplet
from rtd_adapters.triplets.checking.corpus import Corpus
from rtd_adapters.triplets.checking.sense import (
    IMPLAUSIBLE,
    MIXED,
    UNANSWERED,
    UNGRAMMATICAL,
    UNNATURAL,
    Sense,
)

FOLDER = Path(__file__).parents[2] / "tests" / "triplets" / "judgements"
SIGNALS = {
    "plausible": IMPLAUSIBLE,
    "grammatical": UNGRAMMATICAL,
    "attribute": MIXED,
    "natural": UNNATURAL,
    "answered": UNANSWERED,
}
"""What was judged, to the fault that says no."""
HALVES = ("tuned", "reported")
SOURCES = ("old rules", "new rules", "hand-made")


@dataclass(frozen=True)
class Agreement:
    """Of a fault with what was judged by hand."""

    triplets: int
    bad: int
    """By hand."""
    found: int
    """Bad ones with the fault."""
    named: int
    """All with the fault."""

    @property
    def agreement(self) -> float:
        """Share of triplets of which both say the same."""
        wrong = self.bad - self.found + self.named - self.found
        return 1 - wrong / self.triplets

    @property
    def precision(self) -> float:
        """Share of those with the fault that are bad; 1 where none has it."""
        return self.found / self.named if self.named else 1.0

    @property
    def recall(self) -> float:
        """Share of bad ones that have the fault; 1 where none is bad."""
        return self.found / self.bad if self.bad else 1.0


def judgements() -> list[dict]:
    """All rows."""
    return [json.loads(line) for line in (FOLDER / "judgements.jsonl").open(encoding="utf-8")]


def triplet(row: dict) -> Triplet:
    """The triplet of a row."""
    return Triplet(row["reference"], row["conditioning"], row["target"])


def corpus() -> Corpus:
    """The captions beside the judgements, counted."""
    with lzma.open(FOLDER / "captions.txt.xz", "rt", encoding="utf-8") as captions:
        return Corpus().add(line.strip() for line in captions)


def agreements(rows: Iterable[dict], sense: Sense) -> dict[str, Agreement]:
    """Of each signal."""
    counts = {name: Counter() for name in SIGNALS}
    for row in rows:
        faults = sense.faults(triplet(row))
        for name, fault in SIGNALS.items():
            bad, named = not row[name], fault in faults
            counts[name].update(triplets=1, bad=bad, found=bad and named, named=named)
    return {name: Agreement(**count) for name, count in counts.items()}


def main() -> None:
    """Print the tables."""
    rows, sense = judgements(), Sense(corpus())
    print("# Judgements by hand and by the check\n")
    print("Made by `python examples/benchmarks/judgements.py`.\n")
    print(f"The check judges by {sense.means}.")
    for half in HALVES:
        own = [row for row in rows if row["half"] == half]
        print(f"\n## {half.capitalize()} half: {len(own)} triplets\n")
        print("| judged | bad by hand | named by the check | agreement | precision | recall |")
        print("|---|---|---|---|---|---|")
        for name, found in agreements(own, sense).items():
            figures = f"{found.agreement:.2f} | {found.precision:.2f} | {found.recall:.2f}"
            print(f"| {name} | {found.bad} | {found.named} | {figures} |")
        good = [row for row in own if all(row[name] for name in SIGNALS)]
        bad = [row for row in own if row not in good]
        lost = sum(bool(sense.faults(triplet(row))) for row in good)
        found = sum(bool(sense.faults(triplet(row))) for row in bad)
        print(f"\nOf {len(good)} triplets that are good in every way, {lost} have a fault; of the")
        print(f"{len(bad)} others, {found}.")
    print("\n## Share that is good, by hand and by the check, both halves\n")
    print(f"| source | triplets | {' | '.join(SIGNALS)} |")
    print("|---|---|" + "---|" * len(SIGNALS))
    for source in SOURCES:
        own = [row for row in rows if row["source"] == source]
        if own:
            cells = [
                f"{1 - a.bad / a.triplets:.0%}, {1 - a.named / a.triplets:.0%}"
                for a in agreements(own, sense).values()
            ]
            print(f"| {source} | {len(own)} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
