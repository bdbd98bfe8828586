"""Alternatives for a word that the user's own captions would say in its place. Our own idea."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp, sqrt

from rtd_adapters.triplets.language.company import EDGE, Company
from rtd_adapters.triplets.language.grammar import plural
from rtd_adapters.triplets.language.kinds import ACTION, COUNT, MODIFIERS, PLURAL, Kinds
from rtd_adapters.triplets.language.tokens import Token
from rtd_adapters.triplets.rules.changes import Change, Edit
from rtd_adapters.triplets.rules.slots import (
    PLACES,
    Slot,
    is_main,
    is_many,
    neighbours,
    preposition,
    slots,
    wants_article,
)

LEAST_ATTRACTION = -0.7
"""Log of how much rarer beside its neighbours an alternative may be than by chance."""
LEAST_AFFINITY = -0.7
"""The same of any other word of the caption."""
TIED = 1.0
"""Affinity from which on a word belongs to the one that would be replaced ("galloping" to a horse);
the alternative must have been seen with it too."""
LEAST_PLACE = -0.3
"""LEAST_ATTRACTION of a place to what it hangs on: in a park, on a beach."""
LOSS = 0.3
"""How much less an alternative may fit the caption, on average, than the word that it replaces."""
FEW = 5000
"""Captions below which having been seen once is enough."""
GENDERED = frozenset({"adult", "child", "role"})
PRONOUNS = frozenset(
    {"he", "she", "his", "her", "him", "hers", "himself", "herself", "their", "they", "its"}
)


@dataclass(frozen=True)
class Swap:
    """An edit, and how likely it is to be drawn."""

    edit: Edit
    weight: float


def swaps(sentence: Sequence[Token], kinds: Kinds, company: Company) -> Iterator[Swap]:
    """Every swap of one word that makes a caption like the others."""
    terms = {token.term for token in sentence}
    for slot in slots(sentence):
        if slot.reading.kind in GENDERED and not PRONOUNS.isdisjoint(terms):
            continue
        around = _around(sentence, slot, company)
        own = _fit(slot.reading.term, around, company)
        for other in kinds.alternatives(slot.reading):
            if not _stands(other, around, company) or _is_present(other, slot, terms, kinds):
                continue
            fit = _fit(other, around, company)
            if fit is not None and (own is None or fit >= own - LOSS or fit >= 0):
                weight = exp(min(fit, 2.0)) * sqrt(company.seen(other))
                yield Swap(_edit(sentence, slot, other), weight)


@dataclass(frozen=True)
class _Around:
    """What an alternative meets in a slot."""

    left: list[str]
    """What it would come right behind, back to the word that the phrase hangs on."""
    right: list[str]
    """What it would come right before, where that must fit."""
    with_it: list[str]
    """Words that it must have been seen with."""
    others: list[str]
    """All other words that say something of the picture."""
    least: float
    """Attraction to `left` and `right`."""


def _around(sentence: Sequence[Token], slot: Slot, company: Company) -> _Around:
    own, form = slot.reading.term, slot.reading.form
    before, after = neighbours(sentence, slot.place)
    right: list[str] = []
    if form in MODIFIERS and slot.head is not None and slot.head > slot.place:
        right = [token.term for token in sentence[slot.place + 1 : slot.head + 1]]
    elif form == ACTION or (after and (after.is_content or after.text == "of")):
        right = [after.term if after and after.is_word else EDGE]
    others = [t.term for n, t in enumerate(sentence) if t.is_content and n != slot.place]
    tied = [other for other in others if company.affinity(own, other) >= TIED]
    return _Around(
        left=[token.term if token.is_word else EDGE for token in before] or [EDGE],
        right=right,
        with_it=[*_nearest(sentence, slot), *tied],
        others=others,
        least=LEAST_PLACE if slot.reading.kind in PLACES else LEAST_ATTRACTION,
    )


def _nearest(sentence: Sequence[Token], slot: Slot) -> list[str]:
    """The next words on both sides that say something of the picture, and no more of its noun."""
    sides = (sentence[: slot.place][::-1], sentence[slot.place + 1 :])
    found = []
    for side in sides:
        words = [t.term for t in side if t.is_content and not t.is_modifier]
        found += words[:1]
    return found


def _stands(other: str, around: _Around, company: Company) -> bool:
    """Whether captions have the alternative beside and with the words that it would stand by."""
    need = 1 if company.captions < FEW else 2
    beside = [(word, other) for word in around.left] + [(other, word) for word in around.right]
    if any(company.beside(*pair) < need for pair in beside):
        return False
    if any(company.together(other, word) < need for word in around.with_it):
        return False
    return all(company.attraction(*pair) >= around.least for pair in beside)


def _is_present(other: str, slot: Slot, terms: set[str], kinds: Kinds) -> bool:
    """Whether the caption has the alternative already, or what means the same."""
    return any(
        other == term or kinds.mean_the_same(other, term)
        for term in terms - {slot.reading.term}
        if term in kinds
    )


def _fit(term: str, around: _Around, company: Company) -> float | None:
    """Mean affinity of a term to the other words of the caption; None where one of them all but
    rules it out."""
    found = [company.affinity(term, other) for other in around.others]
    if not found or min(found) < LEAST_AFFINITY:
        return None
    return sum(found) / len(found)


def _edit(sentence: Sequence[Token], slot: Slot, other: str) -> Edit:
    token, form = sentence[slot.place], slot.reading.form
    noun = None if slot.head is None else sentence[slot.head]
    new = plural(other) if token.is_plural and form == COUNT else other
    change = Change(
        kind=slot.reading.kind,
        form=form,
        old=token.text,
        new=new,
        noun=noun.text if noun else "",
        is_plural=is_many(noun) if noun else token.is_plural or form == PLURAL,
        has_article=wants_article(sentence, slot),
        is_main=is_main(sentence, slot),
        preposition=preposition(sentence, slot),
    )
    return Edit(token.start, token.end, new, change)
