"""Alternatives for a word that the user's own captions would say in its place. Our own idea."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp, sqrt

from rtd_adapters.triplets.language.company import EDGE, Company
from rtd_adapters.triplets.language.grammar import plural
from rtd_adapters.triplets.language.kinds import ACTION, COUNT, MODIFIERS, Kinds
from rtd_adapters.triplets.language.tokens import Token
from rtd_adapters.triplets.rules.changes import Change, Edit
from rtd_adapters.triplets.rules.slots import (
    Slot,
    is_main,
    is_many,
    neighbours,
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
PLACES = frozenset({"town", "landscape", "room", "building", "ground", "water"})
GENDERED = frozenset({"adult", "child", "role"})
PRONOUNS = frozenset(
    {"he", "she", "his", "her", "him", "hers", "himself", "herself", "their", "they", "its"}
)
WHERE = frozenset({"in", "on", "at", "by", "near", "through", "across", "into", "along", "over"})


@dataclass(frozen=True)
class Swap:
    """An edit, and how likely it is to be drawn."""

    edit: Edit
    weight: float


def swaps(
    caption: str, sentence: Sequence[Token], kinds: Kinds, company: Company
) -> Iterator[Swap]:
    """Every swap of one word that makes a caption like the others."""
    terms = {token.term for token in sentence}
    for slot in slots(sentence):
        if slot.reading.kind in GENDERED and not PRONOUNS.isdisjoint(terms):
            continue
        own = _fit(sentence, slot, slot.reading.term, company)
        for other in kinds.alternatives(slot.reading):
            if _is_present(other, slot, terms, kinds) or not _stands(
                sentence, slot, other, company
            ):
                continue
            fit = _fit(sentence, slot, other, company)
            if fit is not None and (own is None or fit >= own - LOSS or fit >= 0):
                weight = exp(min(fit, 2.0)) * sqrt(company.seen(other))
                yield Swap(_edit(caption, sentence, slot, other), weight)


def _is_present(other: str, slot: Slot, terms: set[str], kinds: Kinds) -> bool:
    """Whether the caption has the alternative already, or what means the same."""
    return any(
        other == term or kinds.mean_the_same(other, term)
        for term in terms - {slot.reading.term}
        if term in kinds
    )


def _stands(sentence: Sequence[Token], slot: Slot, other: str, company: Company) -> bool:
    """Whether captions have the alternative beside the words that it would stand beside."""
    before, after = neighbours(sentence, slot.place)
    need = 1 if company.captions < FEW else 2
    with_it = [*_nearest(sentence, slot), *_tied(sentence, slot, company)]
    if any(company.together(other, word) < need for word in with_it):
        return False
    left = [token.term if token.is_word else EDGE for token in before] or [EDGE]
    beside = [(word, other) for word in left]
    if slot.reading.form in MODIFIERS and slot.head is not None and slot.head > slot.place:
        following = sentence[slot.place + 1 : slot.head + 1]
        beside += [(other, token.term) for token in following]
    elif slot.reading.form == ACTION or (after and (after.is_content or after.text == "of")):
        beside.append((other, after.term if after and after.is_word else EDGE))
    least = LEAST_PLACE if slot.reading.kind in PLACES else LEAST_ATTRACTION
    return all(
        company.beside(*pair) >= need and company.attraction(*pair) >= least for pair in beside
    )


def _nearest(sentence: Sequence[Token], slot: Slot) -> list[str]:
    """The next words on both sides that say something of the picture, and no more of its noun."""
    sides = (sentence[: slot.place][::-1], sentence[slot.place + 1 :])
    found = []
    for side in sides:
        words = [t.term for t in side if t.is_content and not t.is_modifier]
        found += words[:1]
    return found


def _tied(sentence: Sequence[Token], slot: Slot, company: Company) -> list[str]:
    """The words of the caption that belong to the one that would be replaced."""
    own = slot.reading.term
    others = [t.term for n, t in enumerate(sentence) if t.is_content and n != slot.place]
    return [other for other in others if company.affinity(own, other) >= TIED]


def _fit(sentence: Sequence[Token], slot: Slot, term: str, company: Company) -> float | None:
    """Mean affinity of a term to the other words of the caption; None where one of them all but
    rules it out."""
    others = [t.term for n, t in enumerate(sentence) if t.is_content and n != slot.place]
    found = [company.affinity(term, other) for other in others]
    if not found or min(found) < LEAST_AFFINITY:
        return None
    return sum(found) / len(found)


def _edit(caption: str, sentence: Sequence[Token], slot: Slot, other: str) -> Edit:
    token, form = sentence[slot.place], slot.reading.form
    many = token.is_plural or form == "plural"
    new = plural(other) if token.is_plural and form == COUNT else other
    noun = sentence[slot.head] if slot.head is not None else None
    change = Change(
        kind=slot.reading.kind,
        form=form,
        old=token.text,
        new=new,
        noun=noun.text if noun else "",
        is_plural=is_many(noun) if noun else many,
        has_article=wants_article(sentence, slot),
        is_main=is_main(sentence, slot),
        preposition=preposition(sentence, slot),
    )
    return Edit(token.start, token.end, new, change)


def preposition(sentence: Sequence[Token], slot: Slot) -> str:
    """What a place's name hangs on ("in" a park); empty for what is no place."""
    if slot.reading.kind not in PLACES:
        return ""
    before, _ = neighbours(sentence, slot.place)
    return before[-1].text if before and before[-1].text in WHERE else ""
