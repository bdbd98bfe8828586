"""Words of a caption that another one of their kind may stand in for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rtd_adapters.triplets.language.grammar import singular
from rtd_adapters.triplets.language.kinds import (
    ACTION,
    ADJECTIVE,
    COUNT,
    MASS,
    NUMBER,
    PLURAL,
    SIDE,
    Reading,
)
from rtd_adapters.triplets.language.tokens import (
    ARTICLES,
    PREPOSITIONS,
    UNSAID,
    Token,
)
from rtd_adapters.triplets.word_list import NOUNS, THINGS

JOINTS = frozenset({"and", ",", "or", "/", "&"})
VERB_ENDINGS = ("ing", "ed", "s")
DETERMINERS = UNSAID | {"this", "that", "each", "every", "another", "some", "no", "one"}
BE = frozenset({"is", "are", "was", "were"})
WHICH = frozenset({"that", "which", "who"})
PLACES = frozenset({"town", "landscape", "room", "building", "ground", "water"})
WHERE = frozenset({"in", "on", "at", "by", "near", "through", "across", "into", "along", "over"})
STILL = WHERE - {"through", "across", "into", "along", "over"}
"""Of them, where something may be without going there."""
PEOPLE = frozenset({"people", "person", "someone", "couple", "crowd"})


@dataclass(frozen=True)
class Slot:
    """A word that may be swapped."""

    place: int
    """Of its token."""
    reading: Reading
    head: int | None = None
    """Place of the noun that an adjective or a number says more of, or of who acts."""


def slots(sentence: Sequence[Token]) -> list[Slot]:
    """Every word that may be swapped by itself, in each of its readings.

    Left out: words and their nouns that the caption has twice, adjectives joined to others ("black
    and white"), nouns that are half of a longer name.
    """
    times = Counter(token.term for token in sentence if token.is_word)
    found = []
    for place, token in enumerate(sentence):
        if token.readings and times[token.term] == 1:
            found += [
                slot
                for slot in _slots_at(sentence, place)
                if slot.head is None or times[sentence[slot.head].term] == 1
            ]
    return found


def neighbours(sentence: Sequence[Token], place: int) -> tuple[list[Token], Token | None]:
    """What stands before a token, back to the word that the phrase hangs on, and what follows."""
    before: list[Token] = []
    for token in reversed(sentence[:place]):
        if token.text in UNSAID:
            continue
        before.append(token)
        if not token.is_modifier:
            break
    return before, _at(sentence, place + 1)


def has_article(sentence: Sequence[Token], place: int) -> bool:
    """Whether `a` or `an` belongs to the noun there."""
    return determiner(sentence, place) in ("a", "an")


def determiner(sentence: Sequence[Token], place: int) -> str | None:
    """The article, possessive or number that belongs to the noun there; None where it has none,
    and the empty text where it begins the caption."""
    place -= 1
    if place >= 0 and sentence[place].is_noun:  # "a lemon diamond"
        place -= 1
    while place >= 0 and _comes_before_noun(sentence, place):
        if sentence[place].may_be(NUMBER):
            return sentence[place].text
        place -= 1
    if place < 0:
        return ""
    return sentence[place].text if sentence[place].text in DETERMINERS else None


def wants_article(sentence: Sequence[Token], slot: Slot) -> bool:
    """Whether `a` or `an` comes before the slot's noun where it is asked for."""
    place = slot.place if slot.head is None else slot.head
    token = sentence[place]
    if is_many(token) or slot.reading.form in (ACTION, SIDE):
        return False
    if slot.head is None:
        return slot.reading.form == COUNT
    named = bool(determiner(sentence, place))
    if has_article(sentence, place) or not token.readings:
        return named
    return token.may_be(COUNT) and (named or not token.may_be(MASS))


def preposition(sentence: Sequence[Token], slot: Slot) -> str:
    """What a place's name hangs on ("in" a park); empty for what is no place."""
    if slot.reading.kind not in PLACES:
        return ""
    before, _ = neighbours(sentence, slot.place)
    return before[-1].text if before and before[-1].text in STILL else ""


def is_main(sentence: Sequence[Token], slot: Slot) -> bool:
    """Whether the slot's noun is the first that the caption names, so that it is about that one."""
    place = slot.place if slot.head is None else slot.head
    while place and _comes_before_noun(sentence, place - 1):
        place -= 1
    before = sentence[:place]
    if any(token.text in PEOPLE or token.text in PREPOSITIONS - {"of"} for token in before):
        return False
    named = [n for n, token in enumerate(before) if token.is_content]
    return all(sentence[n + 1].text == "of" for n in named)


def is_many(noun: Token) -> bool:
    """Whether a verb after it is in the plural."""
    if noun.is_plural or noun.text == "people" or noun.may_be(PLURAL):
        return True
    return not noun.readings and singular(noun.text) != noun.text


def _slots_at(sentence: Sequence[Token], place: int) -> Iterator[Slot]:
    token = sentence[place]
    for reading in token.readings:
        if reading.form in (ADJECTIVE, NUMBER):
            head = _noun_of(sentence, place) if _stands_alone(sentence, place) else None
            if reading.form == ADJECTIVE and head is None:
                head = _subject_of(sentence, place)
            if head is not None and (reading.form == ADJECTIVE or sentence[head].is_plural):
                yield Slot(place, reading, head)
        elif reading.form == ACTION:
            actor = _actor_of(sentence, place)
            if actor is not None:
                yield Slot(place, reading, actor)
        elif reading.form == SIDE:
            noun = _last_noun(sentence, place)
            if noun is not None:
                yield Slot(place, reading, noun)
        elif _is_whole_noun(sentence, place) and _has_form(sentence, place, reading.form):
            yield Slot(place, reading)


def _last_noun(sentence: Sequence[Token], place: int) -> int | None:
    """The noun right before, or the one before what that is doing."""
    for before in range(place - 1, max(-1, place - 3), -1):
        if sentence[before].is_noun or sentence[before].text in PEOPLE:
            return before
    return None


def _has_form(sentence: Sequence[Token], place: int, form: str) -> bool:
    """Whether the noun stands there as a countable one, or as stuff."""
    if form == MASS:
        return not has_article(sentence, place) and not sentence[place].is_plural
    if form != COUNT or sentence[place].is_plural:
        return True
    found = determiner(sentence, place)
    masses = sentence[place].may_be(MASS)
    return bool(found) or (found == "" and not masses)


def _stands_alone(sentence: Sequence[Token], place: int) -> bool:
    """Whether no other adjective or number is joined to it."""
    before, after = _at(sentence, place - 1), _at(sentence, place + 1)
    if before and (before.text in JOINTS or before.text in ("of", "number")):
        return False
    return not (after and after.text in JOINTS)


def _noun_of(sentence: Sequence[Token], place: int) -> int | None:
    """The noun after an adjective or a number, other modifiers between."""
    place += 1
    while place < len(sentence) and sentence[place].is_modifier:
        place += 1
    token = _at(sentence, place)
    if token is None or not (token.is_noun or token.text in PEOPLE or _is_common(token)):
        return None
    return place if _is_whole_noun(sentence, place) else None


def _is_common(token: Token) -> bool:
    """Whether an unlisted word is known for a noun: it has no kind, but an adjective may change."""
    return token.text in THINGS or singular(token.text) in NOUNS


def _subject_of(sentence: Sequence[Token], place: int) -> int | None:
    """The noun of "a ball that is red" or "the ball is red"."""
    after = _at(sentence, place + 1)
    if place < 2 or sentence[place - 1].text not in BE or (after and after.is_content):
        return None
    if after and after.text in JOINTS:
        return None
    noun = place - 3 if sentence[place - 2].text in WHICH else place - 2
    return noun if noun >= 0 and sentence[noun].is_noun else None


def _actor_of(sentence: Sequence[Token], place: int) -> int | None:
    """Who sits in "a man sitting" or "a man is sitting"."""
    actor = place - 1
    if actor > 0 and sentence[actor].text in BE:
        actor -= 1
    after = _at(sentence, place + 1)
    if actor < 0 or (after and (after.is_content or after.text in JOINTS)):
        return None
    if not (sentence[actor].is_noun or sentence[actor].text in PEOPLE):
        return None
    return actor if _is_first_named(sentence, actor) else None


def _is_first_named(sentence: Sequence[Token], noun: int) -> bool:
    """Whether nothing stands before the noun that could do what is said: not the shirt of "a man
    in a shirt sitting"."""
    return not any(
        (token.is_noun and not _may_modify(token)) or token.text in PEOPLE
        for token in sentence[:noun]
    )


def _is_whole_noun(sentence: Sequence[Token], place: int) -> bool:
    """Whether the noun is no half of a longer name, such as fire truck or dog house."""
    before, token, after = _at(sentence, place - 1), sentence[place], _at(sentence, place + 1)
    if before and before.is_noun and not before.is_modifier and not _may_modify(before):
        return False
    if after is None or not after.is_content or token.is_plural:
        return True
    if after.may_be(ACTION):
        return True
    return not after.readings and after.text.endswith(VERB_ENDINGS)


def _may_modify(token: Token) -> bool:
    return token.may_be(ADJECTIVE, NUMBER)


def _comes_before_noun(sentence: Sequence[Token], place: int) -> bool:
    """Whether what stands between article and noun says more of the noun."""
    return _may_modify(sentence[place]) or _is_unlisted_adjective(sentence, place)


def _is_unlisted_adjective(sentence: Sequence[Token], place: int) -> bool:
    """Whether a word between article and noun is taken for an adjective."""
    token = sentence[place]
    return token.is_content and not token.is_noun and token.text not in ARTICLES | PREPOSITIONS


def _at(sentence: Sequence[Token], place: int) -> Token | None:
    return sentence[place] if 0 <= place < len(sentence) else None
