"""How near words are, by what stands beside them, against plain counts."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from math import log, sqrt

import pytest

from rtd_adapters.triplets.language.company import EDGE, SMOOTHING, Company
from rtd_adapters.triplets.language.kinds import Kinds
from rtd_adapters.triplets.language.tokens import tokens

KINDS = Kinds(["animal count: dog, puppy | cat", "size adjective: big, large | small"], "a test")
CAPTIONS = [
    "a dog sleeps on grass",
    "a cat sleeps on grass",
    "a dog eats",
    "the cat eats",
    "trees stand on grass",
]


def neighbours() -> Counter[tuple[str, str]]:
    """Of captions without modifiers: words side by side, articles left out, ends included."""
    pairs: Counter[tuple[str, str]] = Counter()
    for caption in CAPTIONS:
        said = [EDGE, *(w for w in caption.split() if w not in ("a", "the")), EDGE]
        pairs.update(pairwise(said))
    return pairs


@pytest.fixture
def company():
    return Company(KINDS).count(tokens(caption, KINDS) for caption in CAPTIONS)


@pytest.mark.parametrize("less", [0, 1])
@pytest.mark.parametrize("pair", [("dog", "sleeps"), ("on", "grass"), ("grass", EDGE)])
def test_adjacency_is_a_count_against_chance(company, pair, less):
    counts = neighbours()
    left, right = pair
    before = sum(n for (a, _), n in counts.items() if a == left) - less
    behind = sum(n for (_, b), n in counts.items() if b == right) - less
    chance = before * behind / (counts.total() - less)
    expected = log((counts[pair] - less + SMOOTHING) / (chance + SMOOTHING))
    assert company.adjacency(left, right, less) == pytest.approx(expected)


def test_words_that_were_never_seen_say_nothing(company):
    assert company.adjacency("dog", "unheard") == company.likeness("dog", "unheard") == 0
    assert company.adjacency("puppy", "sleeps") == pytest.approx(0, abs=1e-9)


def test_a_caption_can_be_left_out(company):
    without = Company(KINDS).count(tokens(caption, KINDS) for caption in CAPTIONS[1:])
    for pair in (("dog", "sleeps"), ("dog", "grass")):
        assert company.affinity(*pair, less=1) == pytest.approx(without.affinity(*pair))


def test_likeness_is_a_cosine_of_neighbours(company):
    counts = neighbours()

    def surroundings(word):
        left = {("left", a): sqrt(n) for (a, b), n in counts.items() if b == word}
        return left | {("right", b): sqrt(n) for (a, b), n in counts.items() if a == word}

    one, other = surroundings("dog"), surroundings("trees")
    dot = sum(one[key] * other.get(key, 0) for key in one)
    lengths = [sqrt(sum(v * v for v in side.values())) for side in (one, other)]
    assert company.likeness("dog", "trees") == pytest.approx(dot / (lengths[0] * lengths[1]))
    assert company.likeness("dog", "cat") > company.likeness("dog", "grass")


def test_words_of_one_meaning():
    assert KINDS.mean_the_same("puppy", "dog")
    assert KINDS.mean_the_same("large", "big")
    assert not KINDS.mean_the_same("dog", "cat")
    assert not KINDS.mean_the_same("dog", "unheard")
