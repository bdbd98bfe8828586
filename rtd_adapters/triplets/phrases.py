"""Concepts and phrases with them: as somebody wrote them down, or made of captions by rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rtd_adapters.errors import TripletError
from rtd_adapters.io.json_files import read_json
from rtd_adapters.triplets.keywords import NOUN, KeywordFinder

MOST_PHRASES = 256
"""Of a concept that is made by rule; as many as SEARLE has of each."""

Phrases = Mapping[str, Sequence[str]]
"""Concept -> phrases with it."""


def read_phrases(path: Path) -> Phrases:
    """Phrases of a JSON file: one object, concept -> list of phrases.

    Raises:
        FileError: the file is missing or no JSON.
        TripletError: it is of another form.
    """
    found = read_json(path)
    if not isinstance(found, dict) or not all(map(_is_texts, found.values())):
        raise TripletError(
            f'{path} must hold one JSON object, concept to list of phrases: {{"dog": ["a dog on '
            'the grass"]}.'
        )
    return found


def phrases_of_captions(captions: Iterable[str], finder: KeywordFinder) -> Phrases:
    """Captions as phrases of the nouns in them; ours, where no language model is at hand.

    Args:
        captions: read once.
        finder: of nouns.
    """
    kept: dict[str, list[str]] = {}
    texts: list[str] = []

    def remembered() -> Iterable[str]:
        for caption in captions:
            texts.append(caption.lower())
            yield texts[-1]

    for number, keywords in enumerate(finder.find(remembered())):
        text = texts[number]
        names = {text[word.start : word.end] for word in keywords if word.kind == NOUN}
        for name in sorted(names):
            phrases = kept.setdefault(name, [])
            if len(phrases) < MOST_PHRASES and text not in phrases:
                phrases.append(text)
    return kept


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)
