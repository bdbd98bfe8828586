"""What a caption says of its picture, in whatever words and order: items that can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from rtd_adapters.triplets.language.kinds import ADJECTIVE, COUNT, NUMBER, Kinds
from rtd_adapters.triplets.language.tokens import Token
from rtd_adapters.triplets.rules.slots import Slot, slots

STYLE = frozenset(
    {"photo", "photograph", "picture", "image", "drawing", "shot", "view", "close", "closeup"}
)
"""Words about the picture itself, which are left out."""
ATTRIBUTES = frozenset({"colour", "color", "size", "look", "shape", "pattern"})
"""Nouns that an adjective stands before when it says something of another noun."""
TELLING = frozenset({"under", "above", "below", "behind", "without", "beneath", "no", "not"})
"""Function words that change the picture."""
ENDINGS = ("ing", "ed", "es", "s")
OPEN = "?"


@dataclass(frozen=True)
class Item:
    """A meaning, of what it is said, and how many there are."""

    place: int
    meaning: str
    head: int | None = None
    number: str = ""


@dataclass(frozen=True)
class Key:
    """All that a caption says but for one slot; but for nothing where there is no slot."""

    value: int
    slot: Slot | None
    is_left_out: bool = False
    """Whether it is the key of the caption without the slot's adjective, as a whole one."""


def keys(sentence: Sequence[Token], kinds: Kinds) -> Iterator[Key]:
    """The whole caption's key, each slot's, and the whole one without each adjective.

    Captions with equal keys of one sort differ in the slot only; one whose whole key is another's
    without an adjective lacks that adjective.
    """
    found = slots(sentence)
    items = _items(sentence, kinds, {slot.place: slot for slot in found})
    if items:
        yield Key(_hash(_rendered(items)), None)
        for slot in found:
            yield Key(_hash(_rendered(items, slot)), slot)
            if slot.reading.form == ADJECTIVE:
                rest = [item for item in items if item.place != slot.place]
                yield Key(_hash(_rendered(rest)), slot, is_left_out=True)


def _items(sentence: Sequence[Token], kinds: Kinds, found: dict[int, Slot]) -> list[Item]:
    items: list[Item] = []
    numbers: dict[int, str] = {}
    nouns: list[int] = []
    for place, token in enumerate(sentence):
        slot = found.get(place)
        if token.may_be(NUMBER):
            noun = _next_noun(sentence, place)
            if noun is not None:
                numbers[noun] = kinds.meaning(token.readings[0])
            continue
        if not (token.is_content or token.text in TELLING):
            continue
        if token.text in STYLE or token.text in ATTRIBUTES:
            continue
        head = slot.head if slot else None
        if head is not None and sentence[head].text in ATTRIBUTES and nouns:
            head = nouns[-1]
        items.append(Item(place, _meaning(token, kinds), head, "s" if token.is_plural else ""))
        if token.is_noun:
            nouns.append(place)
    return [
        Item(item.place, item.meaning, item.head, numbers.get(item.place, item.number))
        for item in items
    ]


def _next_noun(sentence: Sequence[Token], place: int) -> int | None:
    for following in range(place + 1, min(place + 5, len(sentence))):
        if sentence[following].may_be(COUNT):
            return following
    return None


def _meaning(token: Token, kinds: Kinds) -> str:
    if token.readings:
        return kinds.meaning(token.readings[0])
    for ending in ENDINGS:
        if token.text.endswith(ending) and len(token.text) > len(ending) + 2:
            return token.text[: -len(ending)]
    return token.text


def _rendered(items: Sequence[Item], slot: Slot | None = None) -> list[str]:
    meanings = {item.place: item.meaning for item in items}
    texts = []
    for item in items:
        is_open = slot is not None and item.place == slot.place
        numbered = slot is not None and slot.reading.form == NUMBER and item.place == slot.head
        head = "" if item.head is None else meanings.get(item.head, "")
        if slot is not None and item.head == slot.place:
            head = OPEN
        meaning = OPEN if is_open else item.meaning
        texts.append(f"{meaning}@{head}#{OPEN if numbered else item.number}")
    return sorted(texts)


def _hash(texts: Sequence[str]) -> int:
    data = "\n".join(texts).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")
