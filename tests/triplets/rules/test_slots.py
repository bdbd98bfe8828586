"""Which words of a caption may be swapped by themselves."""

from __future__ import annotations

import pytest

from rtd_adapters.triplets.rules.slots import is_main, is_many, slots, wants_article


def found(read, caption):
    """`word (noun)`, or the word alone where it says nothing more of another."""
    sentence = read(caption)
    return {
        sentence[s.place].text + (f" ({sentence[s.head].text})" if s.head is not None else "")
        for s in slots(sentence)
    }


CAPTIONS = {
    "a black and white dog on grass": "grass",  # not the dog either: "white dog" is not a name
    "a white, brown dog": "",
    "a fire truck on a street": "fire truck, street",
    "a dog house": "",
    "two dog houses": "",
    "a horse cart near a bench": "bench",
    "a red car and a red bus": "car, bus",
    "a dog and a dog on grass": "grass",
    "a red dog and a dog": "",
    "a ball that is red": "ball, red (ball)",
    "the ball is red": "ball, red (ball)",
    "the ball is red and blue": "ball",
    "a man is sitting on a bench": "man, sitting (man), bench",
    "a man sitting a while": "man, sitting (man)",
    "a man sitting quietly": "man",
    "a man in a hat sitting on a bench": "man, hat, bench",  # the hat does not sit
    "a man in a hat is sitting": "man, hat",
    "a man sitting and laughing": "man",
    "people standing on a beach": "standing (people), beach",
    "sitting on a bench": "bench",
    "three dogs on grass": "three (dogs), dogs, grass",
    "a number of red dogs": "dogs",
    "three sheep": "sheep",
    "a woman with sheep": "woman",
    "a woman with a sheep": "woman, sheep",
    "a woman with tan old goat": "woman, tan (goat), old (goat)",
    "a plate with pizza": "plate, pizza",
    "a red running dog": "dog",
    "a red fluffy dog": "dog",
    "two men in a small red wooden boat": (
        "two (men), men, small (boat), red (boat), wooden (boat), boat"
    ),
    "a dog on the left": "on the left (dog)",
    "a dog sitting on the left": "dog, on the left (dog)",
    "a dog with a friend who is on the left": "dog",
    "a zorp on a blick": "",
    "": "",
}  # fmt: skip


@pytest.mark.parametrize("caption", CAPTIONS)
def test_slots(caption, read):
    expected = CAPTIONS[caption]
    assert found(read, caption) == set(filter(None, expected.split(", ")))


def kinds_of(read, caption, word):
    sentence = read(caption)
    return {(s.reading.kind, s.reading.form) for s in slots(sentence)
            if sentence[s.place].text == word}  # fmt: skip


def test_readings_are_those_of_the_place(read):
    assert kinds_of(read, "an orange cat", "orange") == {("colour", "adjective")}
    assert kinds_of(read, "an orange on a table", "orange") == {("fruit", "count")}
    assert kinds_of(read, "a plate with a pizza", "pizza") == {("meal", "count")}
    assert kinds_of(read, "a plate with pizza", "pizza") == {("meal", "mass")}
    assert kinds_of(read, "a plate with pizzas", "pizzas") == {("meal", "count")}
    assert kinds_of(read, "the man wears glasses", "glasses") == {("eyewear", "plural")}


@pytest.mark.parametrize(
    ("caption", "word", "wanted", "main"),
    [
        ("a red box on a table", "red", True, True),
        ("a red box on a table", "table", True, False),
        ("two red boxes", "red", False, True),
        ("a man in blue jeans", "blue", False, False),
        ("the old car", "old", True, True),
        ("a fluffy old car", "old", True, True),
        ("cars near old grass", "old", False, False),
        ("a man sitting", "sitting", False, True),
        ("a cat on the left", "on the left", False, True),
        ("a plate with pizza", "pizza", False, False),
        ("his dog", "dog", True, True),
    ],
)
def test_articles_and_what_a_caption_is_about(caption, word, wanted, main, read):
    sentence = read(caption)
    slot = next(s for s in slots(sentence) if sentence[s.place].text == word)
    assert (wants_article(sentence, slot), is_main(sentence, slot)) == (wanted, main)


def test_many(read):
    many = [t.text for t in read("people dogs dog sheep jeans zorps zorp men grass") if is_many(t)]
    assert many == ["people", "dogs", "jeans", "zorps", "men"]
