"""Keyword spans: spaCy's against its whole pipeline by a plain loop, the word list's by hand."""

from __future__ import annotations

import pytest

from rtd_adapters.errors import UsageError
from rtd_adapters.triplets import spans
from rtd_adapters.triplets.spans import SpacySpans, WordListSpans, span_finder

CAPTIONS = (
    "two small red stars on a white background",
    "a woman's blue-eyed cat, asleep in the old t-shirt she gave it",
    "london bridge at night",
    "walking slowly",
    "",
    "every dog that barked was black & white",
    "the man who will run is tired",
)


def by_hand(document):
    """Maximal runs of tokens whose universal tag is one of four."""
    runs, run = [], []
    for token in document:
        if token.pos_ in ("NOUN", "PROPN", "ADJ", "DET"):
            run.append(token.text)
            continue
        if run:
            runs.append(" ".join(run))
        run = []
    return tuple([*runs, " ".join(run)] if run else runs)


def test_spacys_spans_are_those_of_its_whole_pipeline():
    import spacy

    from rtd_adapters.triplets.keywords import MODELS

    (model,) = (name for name in MODELS if spacy.util.is_package(name))
    whole = spacy.load(model)
    expected = [by_hand(whole(caption)) for caption in CAPTIONS]
    assert list(SpacySpans().find(CAPTIONS)) == expected
    assert expected[0] == ("small red stars", "a white background")
    assert expected[4] == ()


def test_the_word_lists_spans_are_runs_with_a_listed_noun_or_adjective():
    found = list(WordListSpans().find(CAPTIONS))
    assert found[0] == ("two small red stars", "a white")  # numerals are determiners there
    assert found[3:5] == [(), ()]
    assert found[5] == ("every dog", "black", "white")
    assert found[6] == ("the man",)


def test_words_with_signs_between_them_are_no_run():
    (found,) = WordListSpans().find(["a dog, a cat/kitten and Two RED Cars"])
    assert found == ("a dog", "a cat", "kitten", "Two RED Cars")


def test_the_finder_by_name_and_without_spacy(monkeypatch):
    assert isinstance(span_finder("word-list"), WordListSpans)
    assert isinstance(span_finder(), SpacySpans)

    def missing(without):
        raise UsageError("spaCy is not installed")

    monkeypatch.setattr(spans, "load_spacy", missing)
    assert isinstance(span_finder(), WordListSpans)
    with pytest.raises(UsageError, match="not installed"):
        span_finder("spacy")
