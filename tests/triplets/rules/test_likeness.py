"""What a text tower lets through, against plain loops."""

from __future__ import annotations

import random
from math import sqrt

import pytest
import torch

from rtd_adapters.triplets.records import Triplet
from rtd_adapters.triplets.rules import likeness as module
from rtd_adapters.triplets.rules.draws import Drawn
from rtd_adapters.triplets.rules.likeness import SLACK, Likeness

CORPUS = [f"real {n}" for n in range(30)]


def vector(text):
    draw = random.Random(text)
    return [draw.gauss(0, 1) for _ in range(3)]


def embed(texts):
    assert 0 < len(texts) <= module.ROWS
    return torch.tensor([vector(text) for text in texts], dtype=torch.float64)


def cosine(one, other):
    a, b = vector(one), vector(other)
    return sum(x * y for x, y in zip(a, b, strict=True)) / sqrt(
        sum(x * x for x in a) * sum(y * y for y in b)
    )


def nearest(text, corpus):
    return max((cosine(text, other) for other in corpus if other != text), default=-1)


def drawn(reference, target):
    return Drawn(Triplet(reference, "is other", target), is_real=False)


BATCH = [
    [drawn(f"real {n}", f"made {n} {m}") for m in range(6)] for n in range(25)
] + [[], [drawn("real 1", f"real {n}") for n in range(2, 12)]]  # fmt: skip


def plainly(found, low, high, corpus):
    kept = []
    for one in found:
        own, other = (nearest(t, corpus) for t in (one.triplet.reference, one.triplet.target))
        between = cosine(one.triplet.reference, one.triplet.target)
        if low <= between <= high and min(own, other) >= max(own, other) - SLACK:
            kept.append((-min(own, other), one))
    return [one for _, one in sorted(kept, key=lambda pair: pair[0])]


@pytest.mark.parametrize("band", [(-1, 1), (-0.3, 0.6), (0.9, 0.99)])
@pytest.mark.parametrize("rows", [512, 7])
def test_choices_are_those_of_plain_loops(band, rows, monkeypatch):
    monkeypatch.setattr(module, "ROWS", rows)
    chosen = Likeness(embed, ["", *CORPUS, *CORPUS], band).choose(BATCH)
    expected = [plainly(found, *band, CORPUS) for found in BATCH]
    assert chosen == expected
    count = sum(map(len, expected))
    assert 0 < count < 160
    if band == (-1, 1):
        assert any(len(found) > 2 for found in expected)


def test_only_the_beginning_of_a_corpus_is_compared_with(monkeypatch):
    monkeypatch.setattr(module, "REAL", 9)
    chosen = Likeness(embed, iter(CORPUS), (-1, 1)).choose(BATCH)
    assert chosen == [plainly(found, -1, 1, CORPUS[:9]) for found in BATCH]
    assert chosen != [plainly(found, -1, 1, CORPUS) for found in BATCH]


def test_no_captions_and_no_triplets():
    likeness = Likeness(embed, ["", ""], (-1, 1))
    assert likeness.choose([]) == []
    assert likeness.choose([[], []]) == [[], []]
