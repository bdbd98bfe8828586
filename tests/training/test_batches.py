"""Order, batches and noise: functions of seed and step alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from rtd_adapters.clip.text import Tokenizer
from rtd_adapters.errors import TripletError
from rtd_adapters.training.batches import TripletStream
from rtd_adapters.training.concatenation import add_noise
from rtd_adapters.training.order import PLAIN, SHUFFLE, Draws, ShuffledOrder
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


def test_an_order_stays_what_it_was():
    """Checkpoints and patches of earlier versions depend on it."""
    from rtd_adapters.training.order import _mix

    # SplitMix64 begun with 1234567, as its reference code prints it.
    states = ((1234567 + n * 0x9E3779B97F4A7C15) % 2**64 for n in (1, 2, 3))
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [_mix(state) for state in states] == expected
    assert list(ShuffledOrder(10, 0)) == [6, 1, 5, 9, 7, 4, 2, 0, 8, 3]
    assert [ShuffledOrder(10**12, 3, 1)[place] for place in (0, 1, 10**12 - 1)] == [
        971183897715,
        468512863587,
        592116479924,
    ]


@pytest.mark.parametrize("length", [1, 2, 3, 100, 1000, 10**12, (1 << 62) - 1])
def test_many_places_are_those_of_one_after_another(length):
    order = ShuffledOrder(length, 7)
    indices = sorted({min(length - 1, n * (length // 50 + 1)) for n in range(50)})
    assert order.take(np.array(indices)).tolist() == [order[index] for index in indices]


def test_draws_of_many_positions_cross_epochs():
    draws = Draws(30, 0)
    positions = range(20, 100)
    for purpose in (SHUFFLE, PLAIN):
        expected = [draws.place(position, purpose) for position in positions]
        assert draws.places(positions, purpose) == expected


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


def test_a_part_of_a_part_keeps_its_place_in_the_whole(toy_triplets):
    whole = stream(toy_triplets, keep_alignment=True).batch(3)
    part = whole.part(slice(4, 10))
    assert (part.first, part.whole, part.noise_seed) == (4, 10, whole.noise_seed)
    assert part.plain == whole.plain[4:]
    inner = part.part(slice(1, 3))
    assert (inner.first, inner.whole, len(inner)) == (5, 10, 2)
    assert inner.targets == whole.targets[5:7]
    zeros = torch.zeros(10, 4)
    expected = add_noise(zeros, 1.0, whole.generator())[5:7]
    found = add_noise(zeros[5:7], 1.0, inner.generator(), inner.first, inner.whole)
    assert torch.equal(found, expected)


def test_no_more_than_512_are_held_out(toy_triplets):
    assert [stream(toy_triplets * 20, batch_size=1).holdout, stream(toy_triplets[:19]).holdout] == [
        512,
        1,
    ]
    assert stream(toy_triplets[:20], batch_size=18).trained == 18


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


def test_relative_noise_is_as_long_as_the_vector_whatever_its_length_and_place():
    """At scale 1 and U = 1; vectors of length 0.1 and 40, as a part and in the whole."""
    x = torch.nn.functional.normalize(torch.randn(40, 512), dim=-1)
    x[:20] *= 0.1
    x[20:] *= 40
    noise = add_noise(x, 1.0, torch.Generator().manual_seed(3), relative=True) - x
    uniform = torch.rand(40, 1, generator=torch.Generator().manual_seed(3))
    ratio = noise.norm(dim=-1) / x.norm(dim=-1) / uniform.flatten()
    assert ratio.min() > 0.85
    assert ratio.max() < 1.15
    part = add_noise(x[5:9], 1.0, torch.Generator().manual_seed(3), 5, 40, relative=True)
    torch.testing.assert_close(part, (x + noise)[5:9])
    states = torch.randn(2, 3, 16)
    assert (
        add_noise(states, 0.5, torch.Generator().manual_seed(0), relative=True).shape
        == states.shape
    )


def test_the_unit_of_the_noise_reaches_the_step(searle, toy_projection, toy_backbone, toy_triplets):
    from dataclasses import replace

    from rtd_adapters.training import ReferenceEngine, Towers, TrainingSettings

    tokenizer = searle.tokenizer(toy_backbone.tower)
    towers = Towers(searle, toy_projection, toy_backbone.tower, toy_backbone.tower, tokenizer)
    batch = TripletStream(toy_triplets, tokenizer, batch_size=4, seed=0).batch(0)
    settings = TrainingSettings()
    losses = {
        unit: ReferenceEngine(towers, replace(settings, noise=unit)).loss(batch).item()
        for unit in ("absolute", "relative")
    }
    assert losses["absolute"] != pytest.approx(losses["relative"], rel=1e-4)
