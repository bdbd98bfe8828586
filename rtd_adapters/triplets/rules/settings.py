"""What decides which triplets the rules make, and what became of the captions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from rtd_adapters.errors import UsageError, require_number


@dataclass(frozen=True)
class RuleSettings:
    """What decides which triplets the rules make of given captions."""

    per_caption: int = 1
    """At most so many triplets of one caption."""
    band: tuple[float, float] = (0.5, 0.99)
    """Least and greatest cosine between reference and target caption; needs an encoder."""
    real: float = 0.5
    """Share of captions for which a real target is looked for first: another caption that differs
    in one attribute."""
    seed: int = 0

    def __post_init__(self) -> None:
        low, high = self.band
        for bound in self.band:
            require_number("--band", bound, least=-1, most=1)
        require_number("--real", self.real, least=0, most=1)
        if low > high:
            raise UsageError(f"--band is {low:g} {high:g}: the low end is above the high one.")


@dataclass
class RuleCounts:
    """What became of the captions."""

    captions: int = 0
    triplets: int = 0
    real: int = 0
    """Triplets whose target is a caption of the corpus."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Reason to number of captions."""
