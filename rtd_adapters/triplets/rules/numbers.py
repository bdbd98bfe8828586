"""One of a thing becomes two or three, or the other way round, where no verb has to follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rtd_adapters.triplets.language.company import Company
from rtd_adapters.triplets.language.grammar import plural
from rtd_adapters.triplets.language.kinds import ACTION, COUNT, NUMBER, PLURAL
from rtd_adapters.triplets.language.tokens import ARTICLES, AUXILIARIES, PREPOSITIONS, Token
from rtd_adapters.triplets.rules.changes import Change, Edit
from rtd_adapters.triplets.rules.pictured import STYLE
from rtd_adapters.triplets.rules.slots import PLACES, determiner

ONE = frozenset({"a", "an", "one"})
MORE = ("two", "three")
OF_ONE = frozenset({"he", "she", "it", "his", "her", "its", "him", "which", "that", "who", "alone"})
OTHERS = frozenset({"other", "others", "another", "third", "each", "both", "together"})
"""Words that count what is there already."""


def counts(caption: str, sentence: Sequence[Token], company: Company) -> Iterator[Edit]:
    """Edits of the first noun phrase: "a red box on grass" to "two red boxes on grass", and back.

    Only captions without a finite verb, which would have to agree, and without other things of
    which each would have its own: "a man on a skateboard" to "two men on a skateboard".
    """
    noun = _first_noun(sentence)
    if noun is None or not _needs_no_verb(sentence, noun):
        return
    opening, token = sentence[noun[0]], sentence[noun[1]]
    between = caption[opening.end : token.start]
    rest = range(noun[1] + 1, len(sentence))
    if Counter(other.term for other in sentence)[token.term] > 1:
        return
    if any(sentence[place].text in OTHERS or _is_shared(sentence, place) for place in rest):
        return
    if opening.text in ONE and not token.is_plural:
        for number in MORE:
            if company.beside(number, token.term):
                many = plural(token.term)
                yield _edit(opening, token, f"{number}{between}{many}", "one", number, many)
    elif (
        token.is_plural
        and opening.may_be(NUMBER)
        and not any(map(_is_many, sentence[noun[1] + 1 :]))
    ):
        text = f"one{between}{token.term}"
        yield _edit(opening, token, text, opening.text, "one", token.term)


def _edit(first: Token, last: Token, text: str, old: str, new: str, noun: str) -> Edit:
    change = Change("number", NUMBER, old, new, noun, is_plural=new != "one", is_main=True)
    return Edit(first.start, last.end, text, change)


def _first_noun(sentence: Sequence[Token]) -> tuple[int, int] | None:
    """Places of determiner or number and of the listed noun that the first phrase names."""
    for place, token in enumerate(sentence):
        if token.text in ONE or token.may_be(NUMBER):
            noun = place + 1
            while noun < len(sentence) and sentence[noun].is_modifier:
                noun += 1
            if noun < len(sentence) and sentence[noun].may_be(COUNT):
                return place, noun
    return None


def _needs_no_verb(sentence: Sequence[Token], noun: tuple[int, int]) -> bool:
    if any(t.text not in STYLE | ARTICLES | {"of"} for t in sentence[: noun[0]]):
        return False  # it is not what the caption begins with
    rest = [token for token in sentence[noun[1] + 1 :] if token.is_word]
    if rest and not _goes_on(rest[0]):
        return False
    return not any(_may_agree(token) for token in rest)


def _is_shared(sentence: Sequence[Token], place: int) -> bool:
    """Whether it is one thing, other than a place, that is named for the first time."""
    token = sentence[place]
    if token.text in ("a", "an"):
        following = sentence[place + 1 : place + 4]
        return not any(_is_place(other) for other in following)
    if not token.may_be(COUNT) or token.is_plural or _is_place(token):
        return False
    return token.is_noun and determiner(sentence, place) is None


def _is_place(token: Token) -> bool:
    return any(reading.kind in PLACES for reading in token.readings)


def _is_many(token: Token) -> bool:
    """Whether it may be one for each of several, or a verb for several."""
    if token.is_plural or token.may_be(PLURAL):
        return True
    return token.is_content and not token.readings and not token.text.endswith(("ing", "ed"))


def _goes_on(token: Token) -> bool:
    """Whether what follows a noun says where it is or what it is doing."""
    acts = token.may_be(ACTION)
    return token.text in PREPOSITIONS or acts or token.text.endswith("ing")


def _may_agree(token: Token) -> bool:
    """Whether a word may have to change with the number of the first noun."""
    if token.text in AUXILIARIES or token.text in OF_ONE:
        return True
    return not token.readings and token.text.endswith("s") and not token.text.endswith("ss")
