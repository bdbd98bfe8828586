"""A caption's words, with listed terms of several words in one piece."""

from __future__ import annotations

from dataclasses import dataclass

from rtd_adapters.triplets.language.grammar import singular
from rtd_adapters.triplets.language.kinds import COUNT, MODIFIERS, NOUNS, PIECE, Kinds, Reading
from rtd_adapters.triplets.word_list import word_set

ARTICLES = word_set("a an the")
POSSESSIVES = word_set("his her its their my your our")
UNSAID = ARTICLES | POSSESSIVES
"""What comes before a noun and says nothing of it."""
PREPOSITIONS = word_set(
    "in on at by near with without of for from to into onto over under above below behind beside "
    "between among through across along around against down up off out inside outside toward "
    "towards beneath next during after before while like as about past"
)
AUXILIARIES = word_set("is are was were be been being has have had do does did can will would")
OTHERS = word_set(
    "and or but that which who whose where when there this these those it he she they them him i "
    "you we us not no some any each other another one both all many few several more most very "
    "too so than then just only also together while his hers theirs himself herself themselves"
)
FUNCTION = ARTICLES | POSSESSIVES | PREPOSITIONS | AUXILIARIES | OTHERS
"""Words that say how others stand together, and nothing of a picture."""


@dataclass(frozen=True)
class Token:
    """A word, a listed term or a sign at [start, end) of a caption."""

    start: int
    end: int
    text: str
    """In lower case, as it stands."""
    term: str
    """Listed count nouns in the singular; else the text."""
    readings: tuple[Reading, ...] = ()

    @property
    def is_plural(self) -> bool:
        """Whether it is more than one of its term."""
        return self.text != self.term

    @property
    def is_word(self) -> bool:
        """Whether it is no sign."""
        return self.text[0].isalnum()

    @property
    def is_content(self) -> bool:
        """Whether it says something of a picture."""
        return self.text[0].isalpha() and self.text not in FUNCTION

    @property
    def is_modifier(self) -> bool:
        """Whether it may only say more of a noun that follows."""
        return bool(self.readings) and all(r.form in MODIFIERS for r in self.readings)

    @property
    def is_noun(self) -> bool:
        """Whether it is listed as a noun."""
        return self.may_be(*NOUNS)

    def may_be(self, *forms: str) -> bool:
        """Whether one of its readings has one of the forms."""
        return any(reading.form in forms for reading in self.readings)


def tokens(caption: str, kinds: Kinds) -> list[Token]:
    """Words and signs in order; the longest listed term wins."""
    pieces = [(match.start(), match.end()) for match in PIECE.finditer(caption)]
    lower = caption.lower()
    if len(lower) != len(caption):  # a letter whose small form is two
        lower = "".join(c.lower() if len(c.lower()) == 1 else c for c in caption)
    found, place = [], 0
    while place < len(pieces):
        start, end = pieces[place]
        most = kinds.longest if kinds.begins(lower[start:end]) else 1
        for count in range(min(most, len(pieces) - place), 0, -1):
            end = pieces[place + count - 1][1]
            token = _listed(start, end, lower[start:end], kinds)
            if token:
                break
        else:
            token = Token(start, end, lower[start:end], lower[start:end])
        found.append(token)
        place += count
    return found


def _listed(start: int, end: int, text: str, kinds: Kinds) -> Token | None:
    if text in kinds:
        return Token(start, end, text, text, tuple(kinds.readings(text)))
    one = singular(text)
    countable = tuple(r for r in kinds.readings(one) if r.form == COUNT) if one != text else ()
    return Token(start, end, text, one, countable) if countable else None
