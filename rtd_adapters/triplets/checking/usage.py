"""How words are used in captions: with an article or without, at the end of a phrase or before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rtd_adapters.triplets.language.kinds import ADJECTIVE, COUNT, NUMBER
from rtd_adapters.triplets.language.tokens import ARTICLES, POSSESSIVES, Token
from rtd_adapters.triplets.word_list import word_set

DETERMINERS = ARTICLES | POSSESSIVES | word_set("some any each every another this that one no")
DEGREES = word_set("very so too more most")
WORDS = 1 << 16
"""Counted; later ones are not."""
SEEN = 5
"""Times that a word must have been seen before its use is believed."""
MOSTLY, SELDOM = 0.7, 0.1
ACTION = "action"
NO_VERBS = word_set("building ceiling clothing evening morning railing ring string thing wing king")

Run = tuple[int, int]
"""First and one behind the last of content words that stand together, as places in a sentence."""


class Usage:
    """Counts of how words stand, and what follows from them where no list knows a word."""

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {}

    def count(self, sentence: Sequence[Token]) -> None:
        """Add a caption."""
        for first, end in runs(sentence):
            determined = is_determined(sentence, first, end)
            for place in range(first, end):
                self._add(sentence[place].text, 2 if place < end - 1 else int(determined))

    def _add(self, word: str, column: int) -> None:
        if word not in self._counts:
            if len(self._counts) >= WORDS:
                return
            self._counts[word] = [0, 0, 0]
        self._counts[word][column] += 1

    def seen(self, token: Token) -> int:
        """How often the word stood in a caption, in this form."""
        return sum(self._counts.get(token.text, ()))

    def wants_article(self, token: Token) -> bool:
        """Whether a word is a noun that English does not leave without a determiner."""
        bare, determined, _ = self._counts.get(token.text, (0, 0, 0))
        if token.is_plural or token.text.endswith("s"):
            return False
        if token.readings and all(reading.form == COUNT for reading in token.readings):
            return bare < SEEN or determined > bare  # "at night", "in bed"
        if token.readings:
            return False
        return determined + bare >= SEEN and determined >= MOSTLY * (determined + bare)

    def shuns_article(self, token: Token) -> bool:
        """Whether a word, where it ends a phrase, hardly ever has a determiner."""
        bare, determined, _ = self._counts.get(token.text, (0, 0, 0))
        return not token.readings and bare >= SEEN and determined <= SELDOM * bare

    def is_adjective(self, token: Token) -> bool:
        """Whether a word only says more of a noun that follows."""
        if token.readings:
            return all(reading.form == ADJECTIVE for reading in token.readings)
        bare, determined, before = self._counts.get(token.text, (0, 0, 0))
        return before >= SEEN and bare + determined <= SELDOM * before


def runs(sentence: Sequence[Token]) -> Iterator[Run]:
    """Where content words stand together; a word in -ing ends one and stands in none."""
    first = None
    for place, token in enumerate(sentence):
        if token.is_content and not is_action(token):
            first = place if first is None else first
        elif first is not None:
            yield first, place
            first = None
    if first is not None:
        yield first, len(sentence)


def is_action(token: Token) -> bool:
    """Whether a word says what somebody does."""
    if token.readings:
        return all(reading.form == ACTION for reading in token.readings)
    return token.text.endswith("ing") and token.text not in NO_VERBS


def is_determined(sentence: Sequence[Token], first: int, end: int) -> bool:
    """Whether a run has an article, a possessive or a number."""
    while first and sentence[first - 1].text in DEGREES:
        first -= 1
    if first and (sentence[first - 1].text in DETERMINERS or sentence[first - 1].text.isdigit()):
        return True
    return any(is_number(token) for token in sentence[first:end])


def is_number(token: Token) -> bool:
    """Whether a word says how many, more than one."""
    return token.text.isdigit() or token.may_be(NUMBER)
