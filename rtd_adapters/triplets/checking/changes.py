"""What left a reference caption, what came into its target, and what stays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rtd_adapters.triplets.language.kinds import Kinds
from rtd_adapters.triplets.language.tokens import Token, tokens
from rtd_adapters.triplets.records import Triplet
from rtd_adapters.triplets.word_list import word_set

MEDIUM = word_set(
    "photo photograph picture image drawing group pair couple background look size colour color"
)
"""Nouns that say how much there is or how it is shown, and not what."""

Phrase = tuple[Token, ...]
"""Words side by side, their head last."""


@dataclass(frozen=True)
class Change:
    """The difference of two captions in words that say something of a picture."""

    left: tuple[Phrase, ...]
    """Phrases of the reference that the target lacks."""
    came: tuple[Phrase, ...]
    """Phrases of the target that the reference lacks."""
    stays: frozenset[str]
    """Terms that both have, or a term of the target that means the same as one of the reference."""
    target: tuple[Token, ...]
    """All of the target."""

    @property
    def lost(self) -> frozenset[str]:
        """Terms that only the reference has."""
        return frozenset(token.term for phrase in self.left for token in phrase)

    @property
    def gained(self) -> frozenset[str]:
        """Terms that only the target has."""
        return frozenset(token.term for phrase in self.came for token in phrase)


def change_of(triplet: Triplet, kinds: Kinds) -> Change:
    """How the target differs from the reference; word order, articles and synonyms that
    the conditioning text does not name do not count."""
    before, after = tokens(triplet.reference, kinds), tokens(triplet.target, kinds)
    old, new = _content(before), _content(after)
    kept: list[str] = []

    def cancel(alike: Callable[[Token, Token], bool]) -> None:
        for token in list(new):
            match = next((other for other in old if alike(other, token)), None)
            if match:
                old.remove(match)
                new.remove(token)
                kept.append(token.term)

    cancel(lambda one, other: one.term == other.term)
    asked = {token.term for token in tokens(triplet.conditioning, kinds)}
    cancel(lambda one, other: other.term not in asked and kinds.mean_the_same(one.term, other.term))
    return Change(
        tuple(_phrases(before, old)),
        tuple(_phrases(after, new)),
        frozenset(kept),
        tuple(after),
    )


def _content(sentence: Sequence[Token]) -> list[Token]:
    return [t for t in sentence if t.is_content and t.term not in MEDIUM]


def _phrases(sentence: Sequence[Token], chosen: Sequence[Token]) -> Iterator[Phrase]:
    """Runs of the chosen words in the order of their sentence."""
    wanted = Counter(token.start for token in chosen)
    run: list[Token] = []
    for token in sentence:
        if token.start in wanted and token.is_content:
            run.append(token)
        elif run:
            yield tuple(run)
            run = []
    if run:
        yield tuple(run)
