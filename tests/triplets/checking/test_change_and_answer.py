"""What changed from reference to target, whether of one attribute, and whether as asked."""

from __future__ import annotations

import pytest

from rtd_adapters.triplets import Triplet
from rtd_adapters.triplets.checking.attributes import keeps_attribute
from rtd_adapters.triplets.checking.changes import change_of
from rtd_adapters.triplets.checking.request import answers
from rtd_adapters.triplets.language.company import Company
from rtd_adapters.triplets.language.kinds import read_kinds
from rtd_adapters.triplets.language.tokens import tokens

KINDS = read_kinds()
DOG = "a brown dog on the grass"


@pytest.mark.parametrize(
    ("conditioning", "target", "left", "came"),
    [
        ("is black", "a black dog on the grass", {"brown"}, {"black"}),
        ("two of them", "two brown dogs on the grass", set(), {"two"}),
        ("x", "on the grass a brown dog", set(), set()),
        ("x", "a tan puppy on the grass", set(), set()),
        ("a puppy", "a tan puppy on the grass", {"dog"}, {"puppy"}),
        ("x", "a picture of a brown dog", {"grass"}, set()),
    ],
)
def test_changes(conditioning, target, left, came):
    change = change_of(Triplet(DOG, conditioning, target), KINDS)
    assert (change.lost, change.gained) == (left, came)


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("a black dog on the grass", True),
        ("a brown cat on the grass", True),
        ("a brown dog on the sand", True),
        ("a brown dog with a red ball on the grass", True),
        ("a dog on the grass", True),
        ("a black cat on the grass", True),
        ("a brown pizza on the grass", False),
        ("a huge dog on the grass", False),
        ("a black cat on the sand", False),
    ],
)
def test_one_attribute(target, kept):
    change = change_of(Triplet(DOG, "x", target), KINDS)
    assert keeps_attribute(change, KINDS, Company(KINDS), believed=True) is kept


def test_words_that_no_list_knows_are_compared_by_their_company():
    lines = ["a {} on the road", "the {} drives", "two people in a {}"]
    captions = [line.format(word) for word in ("blorp", "wug") for line in lines * 3]
    captions += ["people eat florp", "florp and cheese", "tasty florp"] * 3
    company = Company(KINDS).count(tokens(caption, KINDS) for caption in captions)

    def kept(word, believed):
        change = change_of(Triplet("the blorp drives", "x", f"the {word} drives"), KINDS)
        return keeps_attribute(change, KINDS, company, believed=believed)

    assert kept("wug", believed=False)
    assert not kept("florp", believed=True)
    assert kept("unheard", believed=True)
    assert not kept("unheard", believed=False)


@pytest.mark.parametrize(
    ("conditioning", "target", "answered"),
    [
        ("is black", "a black dog on the grass", True),
        ("is black", "a white dog on the grass", False),
        ("is white", "a brown dog on the sand", False),
        ("change the dog to a cat", "a brown cat on the grass", True),
        ("change the cat to a dog", "a brown cat on the grass", True),
        ("with a dog", "a brown cat on the grass", False),
        ("no longer a dog", "a brown cat on the grass", True),
        ("remove the dog", "the grass", True),
        ("remove the dog", "a brown dog and a cat on the grass", False),
        ("remove the cat", "a brown dog and a cat on the grass", False),
        ("has two of them", "two brown dogs on the grass", True),
        ("has two of them", DOG, False),
        ("in the snow, with a hat, at night", "a brown dog in the snow", False),
        ("make it run", "a brown dog running on the grass", True),
        ("something else", "a brown cat on the grass", True),
    ],
)
def test_answers(conditioning, target, answered):
    assert answers(Triplet(DOG, conditioning, target), KINDS) is answered
