"""The lift against its definition, computed plainly in float64, on heads of many spectra."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from rtd_adapters.clip.image_head import ImageHead

WIDTH, EMBED_DIM = 60, 40
CONDITIONS = (10.0, 1e2, 1e3, 1e5)


class PlainHead:
    """A LayerNorm and a projection in float64: gains around 1, and a spectrum of choice."""

    def __init__(self, condition, shift=0.2, embed_dim=EMBED_DIM):
        draw = np.random.default_rng(0)
        self.gain = draw.uniform(0.6, 1.4, WIDTH).astype(np.float32).astype(np.float64)
        self.shift = shift * draw.standard_normal(WIDTH)
        rank = min(WIDTH - 1, embed_dim)
        left, _ = np.linalg.qr(draw.standard_normal((WIDTH, rank)))
        right, _ = np.linalg.qr(draw.standard_normal((embed_dim, rank)))
        self.weight = 1.5 * left * np.geomspace(1, 1 / condition, rank) @ right.T

    def embeds(self, states):
        """[N, embed_dim] of normalised states."""
        return (states * self.gain + self.shift) @ self.weight

    def pictures(self, count):
        """Normalised states."""
        return normalised(np.random.default_rng(1).standard_normal((count, WIDTH)))

    def lift(self, vectors):
        return self.image_head().lift(torch.from_numpy(vectors).float()).double().numpy()

    def image_head(self, scale=1.0):
        norm = nn.LayerNorm(WIDTH).requires_grad_(False)
        norm.weight.copy_(torch.from_numpy(self.gain))
        norm.bias.copy_(torch.from_numpy(self.shift))
        return ImageHead(norm, torch.from_numpy(self.weight).float(), scale)


def normalised(states):
    states = states - states.mean(-1, keepdims=True)
    return states / states.std(-1, keepdims=True)


def along(a, b):
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


def plain_lift(head, vectors):
    """The definition: stacked least squares over states of mean zero, each vector by itself."""
    basis = np.linalg.qr(np.eye(WIDTH) - 1 / WIDTH)[0][:, : WIDTH - 1]
    through = head.embeds(basis.T) - head.embeds(np.zeros(WIDTH))
    spectrum = np.linalg.svd(through, compute_uv=False)
    ridge = (spectrum**2).sum() / min(WIDTH, head.weight.shape[1])
    system = np.concatenate([through.T, np.sqrt(ridge) * np.eye(WIDTH - 1)])
    asked = np.concatenate([vectors, np.zeros((len(vectors), WIDTH - 1))], axis=1)
    return normalised(np.stack([basis @ np.linalg.lstsq(system, row)[0] for row in asked]))


@pytest.mark.parametrize("embed_dim", [EMBED_DIM, WIDTH, 80])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_lift_is_what_it_says(condition, embed_dim):
    head = PlainHead(condition, embed_dim=embed_dim)
    vectors = np.random.default_rng(2).standard_normal((8, embed_dim))
    np.testing.assert_allclose(head.lift(vectors), plain_lift(head, vectors), atol=2e-4)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_vectors_far_from_any_picture_are_lifted_to_what_is_like_their_own(condition):
    """With noise as large as pictures differ, which an inverse blows up until nothing is found."""
    head = PlainHead(condition, shift=0.0)
    states = head.pictures(30)
    vectors = head.embeds(states)
    vectors += vectors.std(0) * np.random.default_rng(3).standard_normal(vectors.shape)
    found = head.lift(vectors)
    assert along(head.embeds(found), vectors).mean() > 0.75
    seen = np.concatenate([head.gain[:, None] * head.weight, np.ones((WIDTH, 1))], axis=1)
    inverted = vectors @ np.linalg.pinv(seen)[:-1]
    assert finds_its_own(found, states) > 0.5
    assert finds_its_own(inverted, states) < (0.8 if condition == 10 else 0.1)


def finds_its_own(found, states):
    """Share of lifted states that are nearest to their own picture's."""
    return (along(found[:, None], states[None]).argmax(1) == np.arange(len(states))).mean()


def test_a_shift_of_the_norm_changes_nothing():
    """It moves all pictures alike: the gap between pictures and captions may sit there."""
    vectors = np.random.default_rng(4).standard_normal((5, EMBED_DIM))
    plain, shifted = (PlainHead(1e3, shift).lift(vectors) for shift in (0.0, 5.0))
    np.testing.assert_array_equal(plain, shifted)


def test_no_singular_value_is_too_small():
    """The smallest count for nothing, whatever they are: no threshold is near."""
    vectors = np.random.default_rng(4).standard_normal((5, EMBED_DIM))
    head, cut = PlainHead(1e3), PlainHead(1e3)
    left, spectrum, right = np.linalg.svd(cut.weight, full_matrices=False)
    spectrum[-5:] = 0
    cut.weight = left * spectrum @ right
    np.testing.assert_allclose(head.lift(vectors), cut.lift(vectors), atol=0.05)


def test_each_vector_is_lifted_alone():
    head = PlainHead(1e3).image_head(scale=1.3)
    vectors = torch.randn(3, 5, EMBED_DIM, generator=torch.Generator().manual_seed(0))
    vectors *= torch.tensor([0.1, 1.0, 30.0])[:, None, None]
    alone = torch.stack([head.lift(vector) for vector in vectors.flatten(0, 1)])
    torch.testing.assert_close(head.lift(vectors).flatten(0, 1), alone, rtol=1e-4, atol=1e-4)


def test_lifted_states_have_the_towers_scale():
    states = PlainHead(1e5).image_head(scale=1.7).lift(torch.randn(20, EMBED_DIM))
    assert torch.allclose(states.square().mean(-1).sqrt(), torch.tensor(1.7), rtol=1e-3)
    assert states.mean(-1).abs().max() < 1e-5


def test_how_long_a_vector_is_says_nothing():
    head, vectors = PlainHead(1e3).image_head(), torch.randn(5, EMBED_DIM)
    torch.testing.assert_close(head.lift(vectors), head.lift(20 * vectors), rtol=1e-3, atol=1e-3)


def test_nothing_breaks_on_nothing():
    head = PlainHead(1e5).image_head()
    assert head.lift(torch.zeros(2, EMBED_DIM)).isfinite().all()
    assert head.lift(torch.zeros(0, EMBED_DIM)).shape == (0, WIDTH)


def test_a_lift_goes_where_its_head_goes():
    head = PlainHead(10.0).image_head()
    head.lift(torch.zeros(1, EMBED_DIM))
    assert {buffer.dtype for buffer in head.double().buffers()} == {torch.float64}
    assert set(head.state_dict()) == {"weight", "norm.weight", "norm.bias"}
