"""What a person would not say: words torn from what they belong to, requests that read badly."""

from __future__ import annotations

import pytest
from every_wording import every

from rtd_adapters.triplets.rules import swaps as swaps_module
from rtd_adapters.triplets.rules.additions import additions
from rtd_adapters.triplets.rules.changes import Change, apply_edits
from rtd_adapters.triplets.rules.numbers import counts
from rtd_adapters.triplets.rules.slots import is_main, preposition, slots, wants_article

HORSES = ["a horse galloping"] * 10 + ["a cow near a box"] * 3 + ["a cup"] * 100
BEACHES = (
    ["a dog on a park"] * 3
    + ["a dog in a park"] * 7
    + ["a dog on a beach"] * 10
    + ["a cup on a box"] * 37
    + ["a cup"] * 43
)
TORN = {
    "TIED": ("a horse near a box galloping", HORSES, "a cow near a box galloping"),
    "LEAST_PLACE": ("a dog on a beach", BEACHES, "a dog on a park"),
}


@pytest.mark.parametrize("name", TORN)
def test_words_are_not_torn_from_what_they_belong_to(name, swapped, monkeypatch):
    caption, corpus, torn = TORN[name]
    assert torn not in swapped(caption, corpus)
    monkeypatch.setattr(swaps_module, name, {"TIED": 99.0, "LEAST_PLACE": -99.0}[name])
    assert torn in swapped(caption, corpus)


def test_half_of_a_colour_is_not_left_out(read):
    assert not list(additions(read("a dog sees an army green toilet")))


def test_a_word_with_two_readings_is_left_out_once(read):
    (edit,) = additions(read("an old car passes"))
    assert apply_edits("an old car passes", [edit]) == "a car passes"


def test_a_caption_that_begins_with_people_is_about_them(read):
    main = {
        caption: [is_main(read(caption), slot) for slot in slots(read(caption))]
        for caption in (
            "people with a blanket",
            "a blanket",
            "zorps on a blanket",
            "a zorp is cast upon a blanket",
            "a zorpy blanket",
            "group of men",
        )
    }
    assert main == {
        "people with a blanket": [False],
        "a blanket": [True],
        "zorps on a blanket": [False],
        "a zorp is cast upon a blanket": [False],
        "a zorpy blanket": [True],
        "group of men": [True],
    }


def test_where_something_goes_is_not_where_it_is(read):
    def said(caption):
        sentence = read(caption)
        (street,) = (slot for slot in slots(sentence) if sentence[slot.place].text == "street")
        return preposition(sentence, street)

    assert said("a dog on a street") == "on"
    assert said("a dog across a street") == ""


def test_a_thing_has_its_article_in_a_request_though_its_caption_leaves_it_out(read):
    def wanted(caption):
        sentence = read(caption)
        (red,) = (slot for slot in slots(sentence) if sentence[slot.place].text == "red")
        return wants_article(sentence, red)

    assert wanted("a man in red hat")
    assert wanted("a man sees the red surface")
    assert not wanted("a man in red hats")
    assert not wanted("a plate with red pizza")


def test_the_article_of_a_noun_with_another_before_it_is_found(read):
    sentence = read("a lemon diamond that is small")
    (small,) = (slot for slot in slots(sentence) if sentence[slot.place].text == "small")
    assert wants_article(sentence, small)


def test_stuff_at_the_beginning_is_not_one_of_a_thing(read):
    found = slots(read("pizza on a table"))
    assert {slot.reading.form for slot in found if slot.place == 0} == {"mass"}


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("near a dog on grass", []),
        ("a dog on grass", ["two dogs on grass"]),
        ("a picture of a dog on grass", ["a picture of two dogs on grass"]),
    ],
)
def test_how_many_is_asked_of_what_a_caption_begins_with(caption, expected, read, company_of):
    edits = counts(caption, read(caption), company_of(["two dogs"]))
    assert [apply_edits(caption, [edit]) for edit in edits] == expected


def test_many_are_not_asked_to_be_one():
    dogs = Change("animal", "count", "cats", "dogs", is_plural=True, is_main=True)
    assert not [text for texts in every(dogs).values() for text in texts if text.startswith("is ")]


def test_a_number_of_several_words_ends_well():
    change = Change("number", "number", "a couple of", "three", "dogs", is_plural=True)
    texts = [text for texts in every(change).values() for text in texts]
    assert any("a couple" in text for text in texts)
    assert not [text for text in texts if " of" in text.removesuffix("instead of a couple")]
