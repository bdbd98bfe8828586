"""Articles and plurals, and what swapping a word does to them."""

from __future__ import annotations

import pytest

from rtd_adapters.triplets.language.grammar import article, plural, singular, swap

PLURALS = """\
dog dogs
box boxes
glass glasses
church churches
bus buses
baby babies
toy toys
child children
fireman firemen
human humans
sheep sheep
shoe shoes
leaf leaves"""


@pytest.mark.parametrize(("one", "many"), [line.split() for line in PLURALS.splitlines()])
def test_plurals(one, many):
    assert plural(f"red {one}") == f"red {many}"
    assert singular(f"red {many}") == f"red {one}"


def test_articles():
    sounds_like_a = ["dog", "unicorn", "uniform", "european", "user", "one-way street", "unique"]
    sounds_like_an = ["apple", "hour", "umbrella", "uninteresting view", "honest man", "unmade bed"]
    assert {article(word) for word in sounds_like_a} == {"a"}
    assert {article(word) for word in sounds_like_an} == {"an"}


@pytest.mark.parametrize(
    ("caption", "old", "new", "expected"),
    [
        ("An old dog", "old", "new", "A new dog"),
        ("a red dog", "red", "old", "an old dog"),
        ("banana old", "old", "apple", "banana apple"),
        ("Women ride", "Women", "children", "Children ride"),
        ("A RED BOX", "RED", "orange", "AN ORANGE BOX"),
        ("AN ORANGE BOX", "ORANGE", "red", "A RED BOX"),
        ("with a TV", "TV", "radio", "with a radio"),
        ("a dog with a Frisbee", "Frisbee", "stick", "a dog with a stick"),
        ("A Dog With A Frisbee", "Frisbee", "stick", "A Dog With A Stick"),
        ("It runs. Dogs bark", "Dogs", "cats", "It runs. Cats bark"),
    ],
)
def test_a_swap_keeps_letters_and_fits_the_article(caption, old, new, expected):
    start = caption.index(old)
    assert swap(caption, start, start + len(old), new) == expected
