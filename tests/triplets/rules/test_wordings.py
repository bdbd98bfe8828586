"""What is asked for, in every wording that there is."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import replace
from itertools import permutations

import pytest
from every_wording import every

from rtd_adapters.triplets.rules.changes import Change
from rtd_adapters.triplets.rules.wordings import conditioning

THING = Change("fruit", "count", "orange", "cup", has_article=True)
ANIMAL = Change("animal", "count", "elephant", "dog", has_article=True, is_main=True)
STUFF = Change("drink", "mass", "tea", "coffee")
SPORT = Change("sport", "mass", "tennis", "golf")
PARK = Change("town", "count", "alley", "park", has_article=True, preposition="in")
RED = Change("colour", "adjective", "orange", "red", "box", has_article=True)
TWO = Change("number", "number", "one", "two", "boxes", is_plural=True, is_main=True)
ONE = Change("number", "number", "two", "one", "box", is_main=True)
SITTING = Change("posture", "action", "standing", "sitting", "man", is_main=True)
LEFT = Change("side", "side", "on the right", "on the left", "cup", is_main=True)
HAT = Change("headwear", "count", "", "hat", "dog", has_article=True)
WORN = replace(HAT, noun="dogs", is_plural=True, preposition="wearing")
THERE = Change("town", "count", "", "the park", preposition="in")
OLD = Change("age", "adjective", "", "old", "box", has_article=True, is_main=True)
GONE = Change("headwear", "count", "red hat", "")
MANY = [
    replace(THING, old="oranges", new="cups", has_article=False, is_plural=True),
    replace(ANIMAL, old="elephants", new="dogs", has_article=False, is_plural=True),
    replace(RED, noun="boxes", has_article=False, is_plural=True),
    replace(SITTING, noun="men", is_plural=True),
    replace(LEFT, noun="cups", is_plural=True),
    replace(OLD, noun="boxes", has_article=False, is_plural=True),
    replace(GONE, old="red hats", is_plural=True),
    replace(HAT, new="hats", has_article=False, is_plural=True),
]
ONES = [THING, ANIMAL, STUFF, SPORT, PARK, RED, TWO, ONE, SITTING, LEFT, HAT, WORN, THERE, OLD]
ALL = [*ONES, GONE, *MANY]
ALL += [replace(change, is_main=not change.is_main) for change in ALL if change.old]


def texts(*changes):
    return [text for found in every(*changes).values() for text in found]


@pytest.mark.parametrize("change", ALL)
def test_every_wording_reads(change):
    found = texts(change)
    assert len(found) >= 7
    assert sorted(every(change)) == [0, 1, 2, 3]
    for text in found:
        assert text == " ".join(text.split()) and text == text.strip()
        assert not re.search(r"[{}]|\b(an? an?|a the|the the|the an?|the on|an? on)\b", text)
        assert text.count("instead") + text.count("in place of") + text.count(", not ") <= 1
        for article, word in re.findall(r"\b(an?) (\w)", text):
            assert article == ("an" if word in "aeiou" else "a"), text
        wanted = change.new or change.old
        assert wanted in text
        if not change.new:
            assert re.search(r"remove|away|leave out|no |gone|without|not ", text)


@pytest.mark.parametrize("change", ALL)
def test_verbs_agree(change):
    for text in texts(change):
        for noun, verb in re.findall(r"the (?:\w+ )?(\w+) (is|are|has|have)\b", text):
            many = noun.endswith("s") or noun in ("men", "people")
            assert verb in (("are", "have") if many else ("is", "has")), text
        for verb, rest in re.findall(r"there (is|are) (?:also |no |now )?(.*)", text):
            first = re.split(r" instead| but|, not", rest)[0]
            assert verb == ("are" if first.endswith("s") else "is"), text


def test_each_sort_of_change_has_its_own():
    assert {"make the box red", "the box is red, not orange", "has a red box", "a red box",
            "remove the orange box and add a red box"} <= set(texts(RED))  # fmt: skip
    assert "has red boxes in place of the orange ones" in texts(MANY[2])
    assert {"replace the orange with a cup", "has a cup", "a cup"} <= set(texts(THING))
    assert "is a dog instead of an elephant" in texts(ANIMAL)
    assert "is a dog" not in texts(replace(ANIMAL, is_main=False))
    assert "turn the elephant into a dog" not in texts(ANIMAL)
    assert "turn the orange into a cup" in texts(THING)
    assert {"has coffee instead of tea", "has coffee"} <= set(texts(STUFF))
    assert {"is about golf", "golf, not tennis"} <= set(texts(SPORT))
    assert {"is in a park", "it is not in an alley but in a park"} <= set(texts(PARK))
    assert {"there are two boxes", "has two boxes instead of one"} <= set(texts(TWO))
    assert {"there is one box, not two", "show one box"} <= set(texts(ONE))
    assert {"make the man be sitting", "is sitting"} <= set(texts(SITTING))
    assert {"is on the left instead of on the right", "the cup is on the left"} <= set(texts(LEFT))
    assert {"add a hat", "comes with a hat", "with a hat"} <= set(texts(HAT))
    assert {"put a hat on the dogs", "the dogs are wearing a hat"} <= set(texts(WORN))
    assert {"set it in the park", "is in the park"} <= set(texts(THERE))
    assert {"is old", "make the box old", "with an old box"} <= set(texts(OLD))
    assert "is old" not in texts(replace(OLD, is_main=False))
    assert {"without the red hat", "has no red hat", "remove the red hat"} <= set(texts(GONE))


@pytest.mark.parametrize("pair", permutations([THING, RED, STUFF, PARK, SITTING, TWO], 2))
def test_two_are_asked_for_in_one_mood(pair):
    moods = every(*pair)
    assert sorted(moods) == [0, 1, 2]  # no two phrases
    single = [every(change) for change in pair]
    for mood, found in moods.items():
        ways = {
            one + joint + other
            for one in single[0][mood]
            for other in single[1][mood]
            for joint in (" and ", ", and ", ", then ")
        }
        assert set(found) <= ways
        for text in found:
            assert not re.search(r"instead|\bnot\b|in place of", text)


def test_most_are_what_the_prompt_asks_for():
    """The prompt is "a photo of $ that ...", which a predicate completes."""
    draw = random.Random(0)
    first = Counter(conditioning([RED], draw).split()[0] for _ in range(1100))
    assert 720 < first["has"] + first["shows"] < 880  # 8 of 11
    assert min(first["the"], first["make"]) > 30
