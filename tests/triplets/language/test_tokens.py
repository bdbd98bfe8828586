"""Words of captions: where they stand, what they are."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st


def shown(found):
    return [(token.text, token.term) for token in found]


def test_the_longest_listed_term_is_one_token(read):
    found = read("Two Police Cars pass a hot-dog stand, a hot dog and a double decker bus")
    assert shown(found) == [
        ("two", "two"),
        ("police cars", "police car"),
        ("pass", "pass"),
        ("a", "a"),
        ("hot-dog", "hot-dog"),
        ("stand", "stand"),
        (",", ","),
        ("a", "a"),
        ("hot dog", "hot dog"),
        ("and", "and"),
        ("a", "a"),
        ("double decker bus", "double decker bus"),
    ]
    assert [t.is_plural for t in found] == [n == 1 for n in range(12)]
    assert [t.is_word for t in found] == [n != 6 for n in range(12)]


@pytest.mark.parametrize(
    ("caption", "term"),
    [
        ("dogs", "dog"),
        ("knives", "knife"),
        ("firemen", "fireman"),
        ("sheep", "sheep"),
        ("glasses", "glasses"),
        ("polar bears", "polar bear"),
        ("cowboy hat", "cowboy hat"),
        ("light blue", "light blue"),
        ("shoes", "shoes"),
        ("jeans", "jeans"),
        ("reds", "reds"),
        ("tables", "table"),
        ("boss", "boss"),
        ("thoughts", "thoughts"),
    ],
)
def test_plurals_of_listed_count_nouns_alone_become_singular(caption, term, read):
    assert shown(read(caption)) == [(caption, term)]


def test_what_tokens_are(read):
    words = read("the 3 old men are sitting on grass with an Orange .")
    assert [t.text for t in words if t.is_content] == ["old", "men", "sitting", "grass", "orange"]
    assert [t.text for t in words if t.is_noun] == ["men", "grass", "orange"]
    assert [t.text for t in words if t.is_modifier] == ["old"]
    assert [t.text for t in words if not t.is_word] == ["."]


LETTERS = (
    st.sampled_from("aA\u0130\u0131\u017f\u00df\ufb01\u03a3\u03c2 \t\n-'.,3\u0663\u00e9dogs")
    | st.characters()
)


@settings(deadline=None, max_examples=150)
@given(caption=st.text(LETTERS, max_size=40) | st.lists(
    st.sampled_from(["polar", "bear", "Bears", " ", "  ", "İ", "hot", "dog", "-", "a pair of"]),
    max_size=12).map("".join))  # fmt: skip
def test_spans_rise_and_hold_what_is_said(caption, read):
    end = 0
    for token in read(caption):
        assert end <= token.start < token.end
        end = token.end
        said = caption[token.start : token.end]
        assert token.text == said.lower()
        assert not said[0].isspace() and not said[-1].isspace()


def test_every_word_and_sign_of_plain_text_is_in_a_token(read):
    caption = "A man's 2 dogs, black/white, run; it's-so the end!"
    joined = "".join(token.text for token in read(caption))
    assert joined == "".join(caption.lower().split())
