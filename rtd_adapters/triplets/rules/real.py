"""Real targets: another caption of the corpus that differs in one attribute, whatever its words.

Both captions are somebody's own; only what is asked for is written by rule. Our own idea.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from rtd_adapters.triplets.language.kinds import ADJECTIVE, NUMBER, Kinds
from rtd_adapters.triplets.language.tokens import Token, tokens
from rtd_adapters.triplets.records import Triplet
from rtd_adapters.triplets.rules.changes import Change
from rtd_adapters.triplets.rules.pictured import Key, keys
from rtd_adapters.triplets.rules.slots import is_main, is_many, preposition, wants_article
from rtd_adapters.triplets.rules.wordings import conditioning

TRIED = 8
"""Captions with an equal key that are looked at."""


class RealTargets:
    """Finds captions that differ from a caption in one attribute.

    Sixteen bytes of memory for each word of the corpus that may be swapped.
    """

    def __init__(self, captions: Sequence[str], watched: Iterable[str], kinds: Kinds) -> None:
        """`watched`: the same captions, in order, read once."""
        self._captions, self._kinds = captions, kinds
        values, owners = array("Q"), array("q")
        for number, caption in enumerate(watched):
            for key in keys(tokens(caption, kinds), kinds):
                values.append(key.value)
                owners.append(number)
        found = np.frombuffer(values, np.uint64)
        order = np.argsort(found, kind="stable")
        self._values, self._owners = found[order], np.frombuffer(owners, np.int64)[order]

    def triplets(
        self, caption: str, sentence: Sequence[Token], draw: random.Random
    ) -> Iterator[Triplet]:
        """Triplets whose reference is the caption, in random order."""
        own = [key for key in keys(sentence, self._kinds) if not key.is_left_out]
        for key in draw.sample(own, len(own)):
            for other in self._others(key.value, draw):
                change = self._change(sentence, key, tokens(other, self._kinds))
                if change:
                    yield Triplet(caption, conditioning([change], draw), other)
                    break

    def _others(self, value: int, draw: random.Random) -> Iterator[str]:
        wanted = np.uint64(value)
        first = int(np.searchsorted(self._values, wanted, "left"))
        last = int(np.searchsorted(self._values, wanted, "right"))
        for place in draw.sample(range(first, last), min(TRIED, last - first)):
            yield self._captions[int(self._owners[place])]

    def _change(self, sentence: Sequence[Token], key: Key, other: Sequence[Token]) -> Change | None:
        """How the other caption differs in the key's slot; None where it says the same there."""
        for theirs in keys(other, self._kinds):
            if theirs.value != key.value or theirs.slot is None:
                continue
            if theirs.is_left_out != (key.slot is None):
                continue
            if key.slot is None:
                return _added(other, theirs)
            swapped = _swapped(sentence, key, other, theirs, self._kinds)
            if swapped:
                return swapped
        return None


def _swapped(
    sentence: Sequence[Token], key: Key, other: Sequence[Token], theirs: Key, kinds: Kinds
) -> Change | None:
    old, new = key.slot, theirs.slot
    if old is None or new is None or new.reading.term not in kinds.alternatives(old.reading):
        return None
    noun = None
    if old.head is not None and new.head is not None:
        noun = other[new.head] if old.reading.form == NUMBER else sentence[old.head]
    return Change(
        kind=old.reading.kind,
        form=old.reading.form,
        old=sentence[old.place].text,
        new=other[new.place].text,
        noun=noun.text if noun else "",
        is_plural=is_many(noun or other[new.place]),
        has_article=wants_article(other, new),
        is_main=is_main(sentence, old),
        preposition=preposition(other, new),
    )


def _added(other: Sequence[Token], theirs: Key) -> Change | None:
    slot = theirs.slot
    if slot is None or slot.head is None or slot.reading.form != ADJECTIVE:
        return None
    noun = other[slot.head]
    return Change(
        kind=slot.reading.kind,
        form=slot.reading.form,
        old="",
        new=other[slot.place].text,
        noun=noun.text,
        is_plural=is_many(noun),
        has_article=wants_article(other, slot),
        is_main=is_main(other, slot),
    )
