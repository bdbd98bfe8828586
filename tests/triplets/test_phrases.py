"""Phrases with concepts: read from JSON, and made of captions by rule."""

from __future__ import annotations

import json

import pytest

from rtd_adapters.errors import FileError, TripletError
from rtd_adapters.triplets import phrases
from rtd_adapters.triplets.keywords import WordListFinder
from rtd_adapters.triplets.phrases import phrases_of_captions, read_phrases


def test_a_json_object_is_read(tmp_path):
    path = tmp_path / "phrases.json"
    path.write_text(json.dumps({"dog": ["a dog"], "cat": []}))
    assert read_phrases(path) == {"dog": ["a dog"], "cat": []}


@pytest.mark.parametrize("content", ["[]", '{"dog": "a dog"}', '{"dog": [1]}'])
def test_another_form_is_refused(tmp_path, content):
    path = tmp_path / "phrases.json"
    path.write_text(content)
    with pytest.raises(TripletError, match="must hold one JSON object, concept to list of phrases"):
        read_phrases(path)
    with pytest.raises(FileError):
        read_phrases(tmp_path / "none.json")


def test_captions_are_phrases_of_their_nouns(monkeypatch):
    captions = ["A red DOG on the grass", "two dogs", "nothing", "a dog", "a dog", "a big dog"]
    found = phrases_of_captions(captions, WordListFinder())
    assert found == {
        "dog": ["a red dog on the grass", "a dog", "a big dog"],
        "grass": ["a red dog on the grass"],
        "dogs": ["two dogs"],
    }
    monkeypatch.setattr(phrases, "MOST_PHRASES", 2)
    found = phrases_of_captions(iter(captions), WordListFinder())
    assert found["dog"] == ["a red dog on the grass", "a dog"]
