"""The terms of a caption corpus, and by which others each may be replaced."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rtd_adapters.io.atomic import whole_file
from rtd_adapters.triplets.encoder import Embed
from rtd_adapters.triplets.keywords import ADJECTIVE, NOUN
from rtd_adapters.triplets.work import seal, unseal

Term = tuple[str, str]
"""(kind, text)."""
KEPT = 256
"""Alternatives kept of a term that has more; they are drawn at random."""
ROWS = 512


@dataclass(frozen=True)
class Vocabulary:
    """Terms with their alternatives, which are terms of the same kind."""

    alternatives: dict[Term, list[str]]

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        rows = [[*term, others] for term, others in self.alternatives.items()]
        with whole_file(path) as temporary:
            temporary.write_text(seal(rows), "utf-8")

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """What `save` wrote.

        Raises:
            FileError: it is damaged.
        """
        rows = unseal(path.read_bytes(), str(path))
        return cls({(kind, text): others for kind, text, others in rows})


def build_vocabulary(
    terms: Iterable[Term],
    *,
    min_count: int,
    size: int,
    seed: int,
    embed: Embed | None = None,
    band: tuple[float, float] = (0.5, 0.7),
) -> Vocabulary:
    """Count terms, keep the frequent ones, and find alternatives for each.

    Args:
        terms: every occurrence in the corpus.
        min_count: rarer terms are left out.
        size: at most so many terms are kept, the most frequent ones.
        seed: decides which alternatives are kept where there are many.
        embed: the frozen text tower; without it every term of the kind is an alternative.
        band: least and greatest cosine between a term and its alternative (CompoDiff's is
            0.5 to 0.7).
    """
    counts = Counter(terms)
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    kept = [term for term, count in ranked[:size] if count >= min_count]
    alternatives: dict[Term, list[str]] = {}
    for kind in (NOUN, ADJECTIVE):
        texts = [text for own, text in kept if own == kind]
        near = _in_band(texts, embed, band) if embed and texts else [texts] * len(texts)
        for text, others in zip(texts, near, strict=True):
            alternatives[kind, text] = _drawn(text, others, seed)
    return Vocabulary(alternatives)


def _in_band(texts: list[str], embed: Embed, band: tuple[float, float]) -> list[list[str]]:
    import torch

    units = torch.nn.functional.normalize(embed(texts).float(), dim=1)
    near: list[list[str]] = []
    for start in range(0, len(texts), ROWS):
        cosines = units[start : start + ROWS] @ units.T
        inside = (cosines >= band[0]) & (cosines <= band[1])
        near += [[texts[n] for n in row.nonzero().flatten().tolist()] for row in inside]
    return near


def _drawn(text: str, others: list[str], seed: int) -> list[str]:
    """Alternatives that share no word with the text."""
    words = set(text.split(" "))
    fitting = [other for other in others if words.isdisjoint(other.split(" "))]
    if len(fitting) > KEPT:
        fitting = random.Random(f"{seed} {text}").sample(fitting, KEPT)
    return fitting
