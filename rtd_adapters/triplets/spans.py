"""Finds the keywords that LinCIR's training masks: runs of nouns, adjectives and determiners.

Unlike the keywords that rules swap (`keywords`), a run goes on as long as such words follow one
another: "two small red stars" is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from rtd_adapters.errors import UsageError
from rtd_adapters.triplets.keywords import BATCH, load_spacy
from rtd_adapters.triplets.language.grammar import singular
from rtd_adapters.triplets.word_list import ADJECTIVES, DETERMINERS, NOUNS

PARTS_OF_SPEECH = frozenset({"NOUN", "PROPN", "ADJ", "DET"})
"""Universal tags, as the published training takes them (LinCIR, loader.py)."""
UNUSED_PIPES = ("parser", "ner", "lemmatizer", "senter")
TOKEN = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)*|\S")


class SpanFinder(Protocol):
    """Finds keyword spans in captions."""

    @property
    def name(self) -> str:
        """What decides its results: kind and versions."""

    def find(self, captions: Iterable[str]) -> Iterator[tuple[str, ...]]:
        """Of each caption, in order, its spans in order, the words of one joined by a space."""


class SpacySpans:
    """Spans by spaCy's parts of speech, as published.

    Raises:
        UsageError: spaCy or a model of it is not installed.
    """

    def __init__(self) -> None:
        self._nlp, self.name = load_spacy(UNUSED_PIPES)

    def find(self, captions: Iterable[str]) -> Iterator[tuple[str, ...]]:
        """Spans of each caption; captions are read as they are needed."""
        for document in self._nlp.pipe(captions, batch_size=BATCH):
            yield _joined((token.text, token.pos_ in PARTS_OF_SPEECH) for token in document)


class WordListSpans:
    """Spans by a list of some four hundred common words, which is ours; a run of determiners alone
    is none."""

    name = "word list 1"

    def find(self, captions: Iterable[str]) -> Iterator[tuple[str, ...]]:
        """Spans of each caption; captions are read as they are needed."""
        for caption in captions:
            words = [(word, _is_listed(word.lower())) for word in TOKEN.findall(caption)]
            spans = _joined(words)
            yield tuple(s for s in spans if not set(s.lower().split()) <= DETERMINERS)


def span_finder(name: str | None = None) -> SpanFinder:
    """The finder of that name, `spacy` or `word-list`; without one, spaCy's where it is installed
    with a model.

    Raises:
        UsageError: spaCy is asked for and not installed.
    """
    if name == "word-list":
        return WordListSpans()
    try:
        return SpacySpans()
    except UsageError:
        if name is not None:
            raise
        return WordListSpans()


def _joined(words: Iterable[tuple[Any, bool]]) -> tuple[str, ...]:
    """Runs of the words that are marked."""
    runs: list[list[str]] = [[]]
    for word, marked in words:
        if marked:
            runs[-1].append(word)
        elif runs[-1]:
            runs.append([])
    return tuple(" ".join(run) for run in runs if run)


def _is_listed(word: str) -> bool:
    return any(word in words for words in (NOUNS, ADJECTIVES, DETERMINERS)) or (
        singular(word) in NOUNS
    )
