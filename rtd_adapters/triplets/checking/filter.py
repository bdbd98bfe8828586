"""What is checked of triplets while they are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rtd_adapters.triplets.checking.corpus import Corpus
from rtd_adapters.triplets.checking.flaws import Sieve
from rtd_adapters.triplets.checking.sense import Sense
from rtd_adapters.triplets.language.kinds import Kinds
from rtd_adapters.triplets.records import Triplet


def caption_filter(
    captions: Iterable[str], kinds: Kinds | None = None
) -> Callable[[Triplet], list[str]]:
    """Names of what is wrong with a triplet by itself, flaws before faults; none for a good one.

    Args:
        captions: of which triplets are made, read once: what makes sense is judged by them.
        kinds: words by kind, the built-in list without it.
    """
    flaws, faults = Sieve().flaws_within, Sense(Corpus(kinds).add(captions)).faults

    def wrong(triplet: Triplet) -> list[str]:
        return flaws(triplet) or faults(triplet)

    return wrong
