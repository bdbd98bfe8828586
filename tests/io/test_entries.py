"""Fields of foreign JSON: each kind is taken as it is, all else is placed and refused."""

from __future__ import annotations

import math

import pytest

from rtd_adapters.errors import FileError
from rtd_adapters.io.entries import Entry, kind, numbered

VALUES = {
    "text": "a",
    "number": 1.5,
    "whole": 7,
    "true": True,
    "null": None,
    "list": ["a", 2],
    "object": {"b": 1},
    "half": "\ud800",
}
TAKEN = {
    "text": {"text": "a"},
    "identity": {"text": "a", "whole": "7"},
    "number": {"number": 1.5, "whole": 7},
}
WANTED = {"text": "a text", "identity": "a text or a whole number", "number": "a number"}
CALLED = {
    "text": "a text",
    "number": "a number",
    "whole": "a number",
    "true": "a truth value",
    "null": "null",
    "list": "a list",
    "object": "an object",
}


def entry(value=None):
    return Entry("file.json, entry 3", VALUES if value is None else value, "Fetch it again.")


@pytest.mark.parametrize("method", TAKEN)
@pytest.mark.parametrize("name", VALUES)
def test_a_field_is_of_its_kind_or_refused_by_place_name_and_kind(method, name):
    read = getattr(entry(), method)
    if name in TAKEN[method]:
        assert read(name) == TAKEN[method][name]
        return
    with pytest.raises(FileError) as error:
        read(name)
    half = name == "half" and method != "number"
    called = CALLED.get(name, "a text")
    why = "has half a character ('\\ud800')" if half else f"is {called}, where {WANTED[method]}"
    assert str(error.value).startswith(f"file.json, entry 3: {name!r} {why}")
    assert str(error.value).endswith(". Fetch it again.")


def test_a_field_that_is_missing():
    for method in ("text", "identity", "number", "texts", "identities", "numbers", "entry"):
        with pytest.raises(FileError, match="entry 3: 'gone' is missing"):
            getattr(entry(), method)("gone")


def test_lists_are_taken_whole():
    found = entry({"t": ["a", "b"], "i": ["a", 2], "n": (1, 2.5), "o": [{"x": 1}, {"x": 2}]})
    assert found.texts("t") == ("a", "b")
    assert found.identities("i") == ("a", "2")
    assert found.numbers("n") == [1, 2.5]
    assert [part.number("x") for part in found.entries("o")] == [1, 2]
    assert found.entries("o")[1].place == "file.json, entry 3, 'o', entry 1"
    for method, name in (("texts", "i"), ("numbers", "t"), ("identities", "n")):
        with pytest.raises(FileError, match=f"'{name}' is "):
            getattr(found, method)(name)
    with pytest.raises(FileError, match="'text' is a text, where a list belongs"):
        entry().texts("text")


def test_an_object_within():
    inner = entry().entry("object")
    assert (inner.number("b"), inner.place) == (1, "file.json, entry 3, 'object'")
    assert list(inner) == ["b"]
    assert ("b" in inner, "c" in inner, "null" in entry()) == (True, False, False)
    with pytest.raises(FileError, match="it is a list, where an object belongs"):
        entry([1]).text("a")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e9 + 1, -1e9 - 1])
def test_numbers_beyond_a_billion_are_none(value):
    with pytest.raises(FileError, match=r"'n' is not between -1,000,000,000 and 1,000,000,000"):
        entry({"n": value}).number("n")
    assert [entry({"n": n}).number("n") for n in (-1e9, 1e9)] == [-1e9, 1e9]


def test_half_a_character_is_found_however_deep():
    entry({"a": [{"b": "whole"}]}).require_writable()
    with pytest.raises(FileError, match="it holds half a character"):
        entry({"a": [{"b": "\udfff"}]}).require_writable()


def test_values_in_words_and_lists_by_number():
    assert [kind(value) for value in ({}, [], {"a": 1}, [1], None, "")] == [
        "an empty object", "an empty list", "an object", "a list", "null", "a text"
    ]  # fmt: skip
    assert [part.place for part in numbered("f", ["a", "b"], "")] == ["f, entry 0", "f, entry 1"]
