"""Order, batches and noise: functions of seed and step alone."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from rtd_adapters.clip.text import Tokenizer
from rtd_adapters.errors import TripletError
from rtd_adapters.training.batches import TripletStream
from rtd_adapters.training.concatenation import add_noise
from rtd_adapters.training.order import ShuffledOrder
from rtd_adapters.triplets import Triplet


@pytest.mark.parametrize("length", [1, 2, 3, 7, 64, 100, 1000])
def test_a_shuffled_order_is_a_permutation(length):
    assert sorted(ShuffledOrder(length, 3)) == list(range(length))


def test_orders_look_shuffled_and_differ_by_seed():
    first, second = list(ShuffledOrder(1000, 0)), list(ShuffledOrder(1000, 1))
    assert sum(a == b for a, b in zip(first, second, strict=True)) < 10
    assert sum(place == value for place, value in enumerate(first)) < 10
    steps = [abs(a - b) for a, b in pairwise(first)]
    assert 250 < sum(steps) / len(steps) < 420  # a third of the length for a uniform shuffle


def test_an_order_of_any_length_costs_nothing():
    order = ShuffledOrder(10**12, 0)
    assert len({order[place] for place in range(1000)}) == 1000
    with pytest.raises(IndexError):
        order[10**12]


def stream(triplets, **changes):
    settings = {"batch_size": 10, "seed": 0} | changes
    return TripletStream(triplets, Tokenizer(32, "$"), **settings)


def test_an_epoch_sees_every_triplet_once_and_never_the_held_out_ones(toy_triplets):
    batches = stream(toy_triplets)
    assert batches.holdout == 30
    held_out = set(batches.held_out().targets)
    for epoch in range(2):
        numbers = range(epoch * 27, (epoch + 1) * 27)
        seen = [target for n in numbers for target in batches.batch(n).targets]
        assert len(seen) == len(set(seen)) == 270
        assert held_out.isdisjoint(seen)
    assert batches.batch(0).targets != batches.batch(27).targets


def test_a_batch_depends_on_seed_and_number_alone(toy_triplets):
    assert stream(toy_triplets).batch(5) == stream(toy_triplets).batch(5)
    assert stream(toy_triplets).batch(5) != stream(toy_triplets, seed=1).batch(5)
    seeds = {stream(toy_triplets).batch(number).noise_seed for number in range(50)}
    assert len(seeds) == 50


def test_texts_are_cleaned_as_the_official_code_does():
    row = Triplet("A <PERSON> holds $5", " costs $5 Less ", "A CAT $ ")
    batch = stream([row] * 20, batch_size=1).batch(0)
    assert batch.references == ["a person holds 5"]
    assert batch.targets == ["a cat"]
    assert batch.conditioning == ["costs 5 Less"]


def test_plain_captions_ride_along_when_asked(toy_triplets):
    assert stream(toy_triplets).batch(0).plain == []
    batch = stream(toy_triplets, keep_alignment=True).batch(0)
    assert len(batch.plain) == 10
    assert set(batch.plain) != set(batch.targets)


def test_too_few_triplets_for_a_batch(toy_triplets):
    with pytest.raises(TripletError, match=r"20 triplets \(2 of them held out\).*batch of 19"):
        stream(toy_triplets[:20], batch_size=19)


def test_noise_has_one_uniform_a_row_and_the_stated_scale():
    rows, width = 4000, 256
    noise = add_noise(torch.zeros(rows, width), 0.5, torch.Generator().manual_seed(0))
    spread = noise.std(dim=1) / 0.5  # of each row: its uniform draw, up to sampling error
    assert spread.min() >= 0
    assert spread.mean() == pytest.approx(0.5, abs=0.02)
    assert spread.std() == pytest.approx((1 / 12) ** 0.5, abs=0.02)
    assert spread.max() == pytest.approx(1.0, abs=0.2)
    assert noise.mean().abs() < 1e-3


def test_no_noise_is_no_change_and_a_seed_is_a_seed():
    x = torch.randn(3, 4)
    assert add_noise(x, 0, torch.Generator()) is x
    one, two = (add_noise(x, 0.5, torch.Generator().manual_seed(7)) for _ in "ab")
    assert torch.equal(one, two)
    assert not torch.equal(one, x)
