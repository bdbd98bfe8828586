"""Errors of English are named, and good English is let pass."""

from __future__ import annotations

import pytest

from rtd_adapters.triplets.checking.grammar import (
    AGREEMENT,
    BARE,
    DANGLING,
    DOUBLED,
    MANY_OF_ONE,
    NO_NOUN,
    ONE_OF_MANY,
    SOUND,
    errors,
)
from rtd_adapters.triplets.checking.request import HEADLESS, wording_errors
from rtd_adapters.triplets.checking.usage import Usage
from rtd_adapters.triplets.language.kinds import read_kinds
from rtd_adapters.triplets.language.tokens import tokens

KINDS = read_kinds()
USES = [
    *["people walk in the zoo", "a lion at a zoo"] * 4,
    *["a plate of equipment", "equipment on a table"] * 4,
    *["a jumbo jet", "the jumbo jets"] * 4,
    *["cars at night", "night in a city"] * 4,
]
"""From which it is learned that a zoo wants an article, equipment and night want none, and jumbo
is no noun."""


@pytest.fixture(scope="module")
def usage():
    counted = Usage()
    for caption in USES:
        counted.count(tokens(caption, KINDS))
    return counted


@pytest.mark.parametrize(
    ("caption", "error"),
    [
        ("a elephant in a field", SOUND),
        ("an dog", SOUND),
        ("a dog on on a bench", DOUBLED),
        ("a man with", DANGLING),
        ("a man on a", DANGLING),
        ("a man on the of a bench", NO_NOUN),
        ("a dark sitting on a bench", NO_NOUN),
        ("a red on a bench", NO_NOUN),
        ("two bench", MANY_OF_ONE),
        ("three small dog on a bench", MANY_OF_ONE),
        ("these cat", MANY_OF_ONE),
        ("a dogs on a bench", ONE_OF_MANY),
        ("a big cats", ONE_OF_MANY),
        ("a equipment", ONE_OF_MANY),
        ("a jeans", ONE_OF_MANY),
        ("a man next to bench", BARE),
        ("a man in zoo", BARE),
        ("dogs is on a bench", AGREEMENT),
        ("a dog are on a bench", AGREEMENT),
        ("there is three dogs on a bench", AGREEMENT),
        ("there is dogs on a bench", AGREEMENT),
    ],
)
def test_errors_of_captions(caption, error, usage):
    assert error in errors(tokens(caption, KINDS), usage)


@pytest.mark.parametrize(
    "caption",
    [
        "An elephant and a dog stand next to an old bench.",
        "A man in a red and white shirt at night",
        "Two men riding horses on the beach",
        "Two dogs and a cat are on a bench",
        "Woman sitting at a table",
        "a very very big dog",
        "a group of dogs is on the grass",
        "an hour at a university, a one way street",
        "a man walks with his dogs",
        "seven sheep on a hill",
        "a dog eats bananas at the zoo",
        "a couple holding hands",
        "a pair of jeans and some shoes",
        "equipment in a zoo",
        "there is a dog, and there are two cats",
        "a bench and another two dogs",
    ],
)
def test_good_captions(caption, usage):
    assert not errors(tokens(caption, KINDS), usage)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("is basket", BARE),
        ("use plate", BARE),
        ("bench is replaced by a chair", BARE),
        ("move from the park to zoo", BARE),
        ("is a blue instead", NO_NOUN),
        ("has three dog", MANY_OF_ONE),
        ("make it a elephant", SOUND),
        ("is dogs instead", AGREEMENT),
        ("put a clock with", DANGLING),
        ("alter wooden to big", HEADLESS),
        ("has jumbo", HEADLESS),
    ],
)
def test_errors_of_conditionings(text, error, usage):
    assert error in wording_errors(text, KINDS, usage)


@pytest.mark.parametrize(
    "text",
    [
        "is blue instead of red",
        "change red to blue",
        "replace the dog with a cat",
        "make the bench wooden",
        "Make it an elephant.",
        "two dogs rather than one",
        "is now at the zoo",
        "is wearing jeans",
        "show it at night",
        "remove the basket and add two plates",
        "with jumbo jets",
    ],
)
def test_good_conditionings(text, usage):
    assert not wording_errors(text, KINDS, usage)
