"""Words by what they say of a picture: colours, sizes, animals, places; the list is ours."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from rtd_adapters.errors import TripletError

ADJECTIVE, COUNT, MASS, PLURAL, NUMBER, ACTION, SIDE = (
    "adjective",
    "count",
    "mass",
    "plural",
    "number",
    "action",
    "side",
)
NOUNS = frozenset({COUNT, MASS, PLURAL})
MODIFIERS = frozenset({ADJECTIVE, NUMBER})
PIECE = re.compile(r"[A-Za-z]+(?:[-'][A-Za-z]+)*|\d+|[^\w\s]")
"""A word or a sign of a text."""
FORMS = NOUNS | MODIFIERS | {ACTION, SIDE}


@dataclass(frozen=True)
class Reading:
    """One thing that a term may say."""

    kind: str
    """Of the attribute: colour, animal, room."""
    form: str
    """How it stands in a sentence, one of `FORMS`."""
    term: str
    """Lower case; a count noun in the singular."""


class Kinds:
    """Terms with their readings, and what may stand in for each."""

    def __init__(self, lines: Iterable[str], source: str, first: int = 1) -> None:
        """Read `kind form: a, b | c` lines; commas join one meaning, bars divide meanings.

        Args:
            lines: of the list.
            source: where they come from, for messages.
            first: number of the first line; below 1 where others precede the source's own.

        Raises:
            TripletError: a line is of another form.
        """
        self._groups: dict[Reading, set[tuple[str, ...]]] = defaultdict(set)
        self._kinds: dict[tuple[str, str], list[Reading]] = defaultdict(list)
        self._readings: dict[str, list[Reading]] = defaultdict(list)
        self._alternatives: dict[Reading, list[str]] = {}
        lines = list(lines)
        self.sha256 = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        """Of the list, by which an unfinished run knows it."""
        for number, line in enumerate(lines, start=first):
            text = line.strip()
            if text and not text.startswith("#"):
                self._add(text, f"{source}, line {number}")
        self.longest = max((term.count(" ") + 1 for term in self._readings), default=1)
        """Words of the longest term."""
        several = (PIECE.match(term) for term in self._readings if " " in term)
        self._openings = {piece[0] for piece in several if piece}

    def _add(self, text: str, place: str) -> None:
        head, colon, body = text.partition(":")
        kind, _, form = head.strip().rpartition(" ")
        if not (colon and kind and form in FORMS):
            raise TripletError(
                f"{place} is {text!r}; it must be like 'colour adjective: red, crimson | blue', "
                f"where the second word is one of {', '.join(sorted(FORMS))}."
            )
        for group in body.split("|"):
            given = (" ".join(term.lower().split()) for term in group.split(","))
            terms = tuple(filter(None, given))
            for term in terms:
                reading = Reading(kind, form, term)
                if reading not in self._groups:
                    self._kinds[kind, form].append(reading)
                    self._readings[term].append(reading)
                self._groups[reading].add(terms)

    def __contains__(self, term: str) -> bool:
        return term in self._readings

    def begins(self, word: str) -> bool:
        """Whether a term of several words begins so."""
        return word in self._openings

    def terms(self) -> Iterable[str]:
        """Every term, in the order of the list."""
        return self._readings.keys()

    def readings(self, term: str) -> list[Reading]:
        """What the term may say; nothing for one that is not listed."""
        return self._readings.get(term, [])

    def alternatives(self, reading: Reading) -> list[str]:
        """Terms of its kind and form that mean something else."""
        if reading not in self._alternatives:
            own = self._groups[reading]
            self._alternatives[reading] = [
                other.term
                for other in self._kinds[reading.kind, reading.form]
                if own.isdisjoint(self._groups[other])
            ]
        return self._alternatives[reading]

    def mean_the_same(self, one: str, other: str) -> bool:
        """Whether two terms may say the same, or one what the other holds."""
        own = {group for reading in self.readings(one) for group in self._groups[reading]}
        return any(not own.isdisjoint(self._groups[reading]) for reading in self.readings(other))

    def meaning(self, reading: Reading) -> str:
        """One term for all that mean the same."""
        return min(min(group) for group in self._groups[reading])

    def share_kind(self, one: str, other: str) -> bool:
        """Whether two terms can say something of one attribute."""
        kinds = {reading.kind for reading in self.readings(one)}
        return any(reading.kind in kinds for reading in self.readings(other))


def read_kinds(path: Path | None = None) -> Kinds:
    """The built-in list, followed by the lines of a file of one's own.

    Raises:
        TripletError: the file cannot be read, or a line is of another form.
    """
    if path is None:
        return _built_in()
    try:
        own = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TripletError(f"{path} cannot be read: {error}.") from error
    built_in = _lines()
    return Kinds([*built_in, *own], str(path), 1 - len(built_in))


@cache
def _built_in() -> Kinds:
    return Kinds(_lines(), "the built-in list")


def _lines() -> list[str]:
    return files(__package__).joinpath("kinds.txt").read_text("utf-8").splitlines()
