"""What a caption can do without, what edits do to its text, and one for many."""

from __future__ import annotations

import pytest

from rtd_adapters.triplets.rules.additions import additions
from rtd_adapters.triplets.rules.changes import Change, Edit, apply_edits
from rtd_adapters.triplets.rules.numbers import counts

SHORTER = {
    "a tall woman stands near people in a park": [
        "a woman stands near people in a park", "a tall woman stands near people",
    ],
    "two women standing in the park .": ["two women standing ."],
    "two women standing in the park.": ["two women standing."],
    "a house surrounded by tall buildings": ["a house surrounded by buildings"],
    "a plane flies surrounded by mountains": [],
    "a man holding a dog with a hat": ["a man holding a dog", "- a man holding a dog"],
    "a man holding a dog wearing his red hat .": [
        "a man holding a dog wearing his hat .",
        "a man holding a dog .", "- a man holding a dog .",
    ],
    "a man sees a dog with a ball on the left": [
        "a man sees a dog", "- a man sees a dog"
    ],
    "a man sees a dog with a ball he likes": [],
    "a man sees dogs playing with a ball": [],
    "a dog with a hat": [],  # too short
    "a dog, a cat and a cow with a hat": [],  # signs inside
    "a man sees a sunny day": [],
    "a man sees a dog in a box": [],  # a box is no place
    "a man sees a dog in the rain in town": [],
    "A red car passes": ["A car passes"],
    "Red car passes": ["Car passes"],
    "AN OLD CAR PASSES": ["A CAR PASSES"],
    "a red orange in a cup": ["an orange in a cup"],
    "an old wooden box": ["a wooden box", "an old box"],
    "a black and white dog passes": [],
    "a young boy passes": [],  # who would ask for a young one?
    "two little girls pass": [],
    "a young woman passes": ["a woman passes"],
}  # fmt: skip


@pytest.mark.parametrize("caption", SHORTER)
def test_what_is_left_out(caption, read):
    """A dash: the caption is the reference of what is left."""
    found = [
        ("" if edit.is_reversed else "- ") + apply_edits(caption, [edit])
        for edit in additions(read(caption))
    ]
    assert set(found) == set(SHORTER[caption])


def change_of(read, caption, text, is_reversed=True):
    (found,) = {
        e.change for e in additions(read(caption))
        if apply_edits(caption, [e]) == text and e.is_reversed == is_reversed
    }  # fmt: skip
    return found


def test_what_is_said_of_it(read):
    caption = "a man holding two dogs wearing a red hat"
    worn = change_of(read, caption, "a man holding two dogs")
    assert (worn.new, worn.noun, worn.preposition) == ("red hat", "dogs", "wearing")
    assert (worn.old, worn.has_article, worn.is_plural) == ("", True, True)
    gone = change_of(read, caption, "a man holding two dogs", is_reversed=False)
    assert (gone.old, gone.new, gone.is_plural) == ("red hat", "", False)
    carried = change_of(read, "a man sees a girl with red shoes", "a man sees a girl")
    assert (carried.new, carried.has_article, carried.is_plural) == ("red shoes", False, True)
    for determiner, new, article in (("a", "park", True), ("his", "the park", False)):
        place = f"a woman standing in {determiner} park"
        change = change_of(read, place, "a woman standing")
        assert (change.new, change.has_article, change.preposition) == (new, article, "in")
    red = change_of(read, "a man with red shoes", "a man with shoes")
    assert (red.new, red.noun, red.is_plural, red.has_article) == ("red", "shoes", True, False)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a red box on grass", ["two red boxes on grass", "three red boxes on grass"]),
        ("two red boxes on grass", ["one red box on grass"]),
        ("A red box on grass .", ["Two red boxes on grass .", "Three red boxes on grass ."]),
        ("A RED BOX", ["TWO RED BOXES", "THREE RED BOXES"]),
        ("an orange", ["two oranges"]),
        ("one dog lying on grass", ["two dogs lying on grass"]),
        ("Five dogs", ["One dog"]),
        ("a man walking two dogs", ["two men walking two dogs"]),
        ("a dog on grass with sticks", ["two dogs on grass with sticks"]),
        ("a dog in a green park", ["two dogs in a green park"]),
        ("a dog on grass with a boss", []),  # would it be one for both?
        ("a man in red hat", []),
        ("a man in the hat", ["two men in the hat"]),
        ("a dog near the dog", []),
        ("a dog near the third dog", []),
        ("a dog on grass near another", []),
        ("two dogs with hats", []),
        ("two dogs in the park walk", []),
        ("two dogs sitting in the park smiling", ["one dog sitting in the park smiling"]),
        ("a cat on grass", []),  # no caption has two of them
        ("two dogs run on grass", []),
        ("a dog runs on grass", []),
        ("a dog is on grass", []),
        ("a dog on grass who plays", []),
        ("a dog with its ball", []),
        ("a dog near a cat that it loves", []),
        ("a dog and a cat", []),
        ("boxes on grass", []),
        ("on a table a dog", []),
        ("two grasses", []),
    ],
)
def test_one_and_many(caption, expected, read, company_of):
    corpus = ["two red boxes", "three boxes", "two dogs", "two oranges", "two men", "a cat"]
    edits = list(counts(caption, read(caption), company_of(corpus)))
    assert [apply_edits(caption, [edit]) for edit in edits] == expected
    for edit in edits:
        assert edit.change.kind == edit.change.form == "number"
        assert {edit.change.old, edit.change.new} & {"one"}
        assert edit.change.noun in apply_edits(caption, [edit]).lower().split()
        assert edit.change.is_plural == (edit.change.new != "one")


def test_edits_are_made_from_the_end():
    def edit(start, end, text):
        return Edit(start, end, text, Change("k", "adjective", "", ""))

    caption = "an old dog and a red cat ."
    edits = [edit(3, 6, "white"), edit(17, 20, "orange")]
    assert apply_edits(caption, edits) == apply_edits(caption, edits[::-1])
    assert apply_edits(caption, edits) == "a white dog and an orange cat ."
    assert apply_edits("a dog ,", [edit(2, 5, "")]) == "a ,"
    assert apply_edits("a dog,", [edit(2, 5, "")]) == "a,"
    assert apply_edits("a dog", [edit(2, 5, "")]) == "a"
