"""What became of the captions that a language model was asked about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

MILLION = 1e6


@dataclass
class LlmCounts:
    """What became of the captions, and what it cost. Reasons go with numbers of captions."""

    captions: int = 0
    triplets: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """No triplet came of them."""
    asked_again: Counter[str] = field(default_factory=Counter)
    """Why the first answer was no good."""
    submitted_again: Counter[str] = field(default_factory=Counter)
    """Why a request failed in a batch, and went into another one."""
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def cost(self, prompt_price: float, completion_price: float) -> float:
        """In the unit of the prices, which are per million tokens."""
        tokens = (self.prompt_tokens, self.completion_tokens)
        prices = (prompt_price, completion_price)
        return sum(n * price for n, price in zip(tokens, prices, strict=True)) / MILLION


def count(rows: Iterable[Mapping[str, Any]]) -> LlmCounts:
    """The counts of a ledger's rows."""
    counts = LlmCounts()
    reasons = {
        "dropped": counts.dropped,
        "rejected": counts.asked_again,
        "failed": counts.submitted_again,
    }
    for row in rows:
        kind = row["kind"]
        counts.captions += kind in ("made", "dropped")
        counts.triplets += kind == "made"
        if kind == "answer":
            counts.prompt_tokens += row["tokens"][0]
            counts.completion_tokens += row["tokens"][1]
        elif kind in reasons:
            reasons[kind][row["why"]] += 1
    return counts


def listed(reasons: Counter[str]) -> str:
    """Reasons and their numbers in one line, the most frequent first."""
    return ", ".join(f"{why}: {number:,}" for why, number in reasons.most_common())
