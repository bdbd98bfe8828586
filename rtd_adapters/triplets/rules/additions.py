"""What a caption can do without: an adjective, something carried or worn, the place.

Where the caption has it and its reference has not, the target caption is somebody's own words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rtd_adapters.triplets.language.kinds import ACTION, ADJECTIVE, COUNT
from rtd_adapters.triplets.language.tokens import UNSAID, Token
from rtd_adapters.triplets.rules.changes import Change, Edit
from rtd_adapters.triplets.rules.slots import (
    PEOPLE,
    PLACES,
    WHERE,
    Slot,
    is_main,
    is_many,
    slots,
    wants_article,
)

TAIL = 7
"""Words of the longest phrase at a caption's end that is left out."""
SHORTEST = 3
"""Words that a caption keeps."""
CARRIED = frozenset({"with", "wearing"})
CHILDREN = frozenset({"child", "children", "kid", "kids", "boy", "girl", "baby", "toddler"})
SIDES = frozenset({"left", "right", "head", "back", "side", "top", "background"})


def additions(sentence: Sequence[Token]) -> Iterator[Edit]:
    """Edits that take something away; reversed ones have the caption for their target."""
    by_place = {slot.place: slot for slot in slots(sentence)}
    for slot in by_place.values():
        if slot.reading.kind == "weather":  # "on a sunny day" is not to be shortened
            continue
        if _goes_without_saying(sentence, slot):
            continue
        if slot.place and _says_more(sentence[slot.place - 1]):  # "army green"
            continue
        if slot.reading.form == ADJECTIVE and slot.head is not None and slot.head > slot.place:
            yield _adjective(sentence, slot)
    yield from _tails(sentence)


def _goes_without_saying(sentence: Sequence[Token], slot: Slot) -> bool:
    """Whether nobody would ask for it: a young child, a little boy."""
    is_child = slot.head is not None and sentence[slot.head].term in CHILDREN
    return is_child and slot.reading.kind in ("age", "size")


def _says_more(token: Token) -> bool:
    """Whether a word before an adjective may be half of it."""
    return token.is_content and not token.is_modifier


def _adjective(sentence: Sequence[Token], slot: Slot) -> Edit:
    token, noun = sentence[slot.place], sentence[slot.head or 0]
    end = sentence[slot.place + 1].start
    change = Change(
        kind=slot.reading.kind,
        form=ADJECTIVE,
        old="",
        new=token.text,
        noun=noun.text,
        is_plural=is_many(noun),
        has_article=wants_article(sentence, slot),
        is_main=is_main(sentence, slot),
    )
    return Edit(token.start, end, "", change, is_reversed=True)


def _tails(sentence: Sequence[Token]) -> Iterator[Edit]:
    """The last phrase of a caption: "with a dog", "wearing a red hat", "in the park"."""
    words = [n for n, token in enumerate(sentence) if token.is_word]
    if not words or words[-1] - len(words) + 1 != 0:  # signs inside
        return
    last = words[-1]
    for place in range(max(SHORTEST, last - TAIL), last):
        opening = sentence[place].text
        if opening in CARRIED and _carries(sentence[place - 1]):
            noun = _noun_phrase(sentence, place + 1, last)
            if noun is not None and _ends_well(sentence, noun, last):
                yield from _carried(sentence, place, noun, last)
        elif opening in WHERE and place + 1 < last and _is_complete(sentence[place - 1]):
            noun = _noun_phrase(sentence, place + 1, last)
            if noun == last and any(r.kind in PLACES for r in sentence[noun].readings):
                yield _place(sentence, place, noun)


def _carries(token: Token) -> bool:
    return token.is_noun or token.text in PEOPLE


def _is_complete(token: Token) -> bool:
    """Whether a caption may end here without saying where."""
    return _carries(token) or token.may_be(ACTION)


def _noun_phrase(sentence: Sequence[Token], first: int, last: int) -> int | None:
    """The listed noun that a phrase from `first` on names, if nothing but modifiers precedes."""
    place = first + (sentence[first].text in UNSAID)
    while place <= last and sentence[place].is_modifier:
        place += 1
    return place if place <= last and sentence[place].is_noun else None


def _ends_well(sentence: Sequence[Token], noun: int, last: int) -> bool:
    """Whether the caption ends with the noun, or with where it is ("on the left")."""
    if noun == last:
        return True
    rest = " ".join(token.text for token in sentence[noun + 1 : last + 1]).split()
    return len(rest) <= 3 and rest[0] in ("on", "in") and rest[-1] in SIDES


def _carried(sentence: Sequence[Token], place: int, noun: int, last: int) -> Iterator[Edit]:
    token, before = sentence[noun], sentence[place - 1]
    first = place + 1 + (sentence[place + 1].text in UNSAID)
    phrase = " ".join(t.text for t in sentence[first : last + 1])
    many = is_many(token)
    is_count = token.may_be(COUNT) and not many
    kind = token.readings[0].kind
    start, end = sentence[place].start, sentence[last].end
    worn = sentence[place].text if sentence[place].text == "wearing" else ""
    added = Change(
        kind,
        COUNT,
        "",
        phrase,
        noun=before.text,
        is_plural=is_many(before) if worn else many,
        has_article=is_count,
        preposition=worn,
    )
    yield Edit(start, end, "", added, is_reversed=True)
    removed = " ".join(t.text for t in sentence[first : noun + 1])
    yield Edit(start, end, "", Change(kind, COUNT, removed, "", is_plural=many))


def _place(sentence: Sequence[Token], place: int, noun: int) -> Edit:
    token = sentence[noun]
    determiner = sentence[place + 1].text if sentence[place + 1].text in UNSAID else ""
    first = place + 2 if determiner else place + 1
    phrase = " ".join(t.text for t in sentence[first : noun + 1])
    if determiner not in ("", "a", "an"):
        phrase = f"the {phrase}"
    change = Change(
        token.readings[0].kind,
        COUNT,
        "",
        phrase,
        has_article=determiner in ("a", "an"),
        preposition=sentence[place].text,
    )
    return Edit(sentence[place].start, token.end, "", change, is_reversed=True)
