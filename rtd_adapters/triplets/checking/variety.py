"""In how many ways a file words what it asks for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rtd_adapters.triplets.language.tokens import FUNCTION

WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?")
CONTENT = "..."
"""In the place of words that say something of a picture."""
COMPARED = 1000
"""Texts that are looked at: the share falls as they grow more."""
SHOWN = 3
"""Frames that are named."""


@dataclass(frozen=True)
class Variety:
    """Of the first `COMPARED` of a random sample of conditioning texts."""

    texts: int = 0
    alone: float = 0.0
    """Share of them whose frame no other one has."""
    words: float = 0.0
    """Mean number of words of a text."""
    commonest: tuple[tuple[str, float], ...] = ()
    """The frames that most texts have, with their shares."""


def variety(texts: Sequence[str]) -> Variety:
    """How a random sample of texts is worded."""
    texts = texts[:COMPARED]
    if not texts:
        return Variety()
    frames = Counter(frame(text) for text in texts)
    return Variety(
        len(texts),
        sum(count for count in frames.values() if count == 1) / len(texts),
        sum(len(WORD.findall(text)) for text in texts) / len(texts),
        tuple((name, count / len(texts)) for name, count in frames.most_common(SHOWN)),
    )


def frame(text: str) -> str:
    """What is left of a text without what it says of pictures: "has a ... instead of a ..."."""
    kept: list[str] = []
    for word in WORD.findall(text.lower()):
        piece = word if word in FUNCTION else CONTENT
        if not (kept and kept[-1] == piece == CONTENT):
            kept.append(piece)
    return " ".join(kept)


def commonest(varied: Variety) -> str:
    """The frames that most texts have, in words."""
    return ", ".join(f'"{name}" ({share:.0%})' for name, share in varied.commonest)
