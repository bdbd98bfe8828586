"""Targets that are captions of the corpus: found whatever their words, and only with one change."""

from __future__ import annotations

import random

import pytest

from rtd_adapters.triplets.rules.real import RealTargets


@pytest.fixture(scope="module")
def found(kinds, read):
    """Reference, target and some wordings of all that is found among captions."""

    def found(*captions):
        real = RealTargets(captions, iter(captions), kinds)
        made = {}
        for caption in captions:
            for seed in range(40):
                for triplet in real.triplets(caption, read(caption), random.Random(seed)):
                    assert triplet.reference == caption
                    key = captions.index(caption), captions.index(triplet.target)
                    made.setdefault(key, set()).add(triplet.conditioning)
        return made

    return found


BOTH = {(0, 1), (1, 0)}
APART = {
    "a colour, in other words and another order": (
        "A photo of a man in a red shirt next to a dog",
        "a dog and the guy who is in a blue shirt",
    ),
    "a synonym beside": ("a crimson car near a couch", "near the sofa: a green car"),
    "an animal": ("a dog on grass", "on the grass there is a cat"),
    "what an adjective says more of": ("a red dog on grass", "on the grass a red cat"),
    "a colour that is called one": ("a circle in blue color", "the red circle"),
    "a number": ("two dogs on grass", "three dogs on the grass ."),
    "a posture": ("a man sitting on a bench", "a man is standing on the bench"),
    "a place": ("a horse walks in a park", "in a field: the horse that walks"),
    "colours stay with their nouns": (
        "a man in a red shirt with blue pants",
        "with blue pants a man in the green shirt",
    ),
    "a side": ("a dog on the left", "the dog is on the right"),
}
NOT_APART = {
    "two attributes": ("a red car near a dog", "a blue car near a cat"),
    "the same": ("a red car near a dog", "a dog near a car that is red"),
    "the same in a synonym": ("a red car near a dog", "a crimson car near a puppy"),
    "colours that changed places": (
        "a man in a red shirt with blue pants",
        "a man in a blue shirt with red pants",
    ),
    "colours of which one changed places": ("a red dog near a cat", "a dog near a blue cat"),
    "another kind": ("an old car", "a red car"),
    "no alternative": ("a blue car near a dog", "a light blue car near a dog"),
    "a word more": ("a dog near a cat", "a dog near a horse with a ball"),
    "without": ("a dog with a red ball", "a dog without a blue ball"),
    "under": ("a dog on a box", "a cat under a box"),
    "one and many": ("a red dog on grass", "blue dogs on grass"),
    "numbers and colours": ("two red dogs", "three blue dogs"),
}


@pytest.mark.parametrize("name", APART)
def test_one_attribute_apart_is_found_both_ways(name, found):
    assert set(found(*APART[name], "a zorp")) == BOTH


@pytest.mark.parametrize("name", NOT_APART)
def test_anything_else_is_not(name, found):
    assert not found(*NOT_APART[name])


def test_what_is_asked_for_is_the_difference(found):
    made = found(*APART["a colour, in other words and another order"])
    assert "has a blue shirt" in made[0, 1]
    assert "has a red shirt instead of a blue shirt" in made[1, 0]
    assert all("blue" in text for text in made[0, 1])
    made = found(*APART["a number"])
    assert "has three dogs" in made[0, 1]
    made = found("two dogs on grass", "three puppies on grass")
    assert "has three puppies" in made[0, 1]
    made = found(*APART["a place"])
    assert "is in a field" in made[0, 1]
    made = found("two red dogs on grass", "two brown dogs on grass")
    assert "has brown dogs" in made[0, 1]
    assert "is brown" not in made[0, 1]  # of several, a person would not say so
    made = found("a red dog on grass", "a brown dog on grass")
    assert "is brown" in made[0, 1]
    assert all("brown" in text for text in made[0, 1])
    made = found(*APART["a side"])
    assert "is on the right" in made[0, 1]


def test_one_is_drawn_of_many(found):
    made = found("a red car", "a blue car", "a green car", "THE GREEN CAR")
    assert set(made) == {(a, b) for a in range(4) for b in range(4) if a != b} - {(2, 3), (3, 2)}


def test_nothing_is_found_where_nothing_is_said(found):
    assert not found("of the", "", "?")


def test_an_adjective_more_is_found_from_the_caption_that_lacks_it(found):
    made = found("a dog on grass", "on the grass a brown dog", "a brown cat")
    assert set(made) == {(0, 1)}
    assert all("brown" in text and "instead" not in text for text in made[0, 1])
    assert not found("a brown dog near a cat", "a dog near a white cat")
