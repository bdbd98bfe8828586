"""The fitted lift against plain refits, and what it makes of captions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from rtd_adapters.clip.calibration import (
    RIDGES,
    CalibratedHead,
    CalibrationPictures,
    caption_noise,
    fit_ridge,
)
from rtd_adapters.clip.image_head import ImageHead

INPUTS, OUTPUTS = 5, 3


def drawn(count, inputs=INPUTS, outputs=OUTPUTS, seed=0):
    """Inputs of a steep spectrum with a mean, and targets that they tell but for a little."""
    draw = np.random.default_rng(seed)
    x = 2 + draw.standard_normal((count, inputs)) * np.geomspace(3, 0.1, inputs)
    way = np.random.default_rng(99).standard_normal((inputs, outputs))
    return x, 1 + x @ way + 0.3 * draw.standard_normal((count, outputs))


def plain_fit(x, y, penalty):
    """Normal equations; weights, and the means of both sides."""
    centred = x - x.mean(0)
    gram = centred.T @ centred + penalty * np.eye(x.shape[1])
    return np.linalg.solve(gram, centred.T @ (y - y.mean(0))), x.mean(0), y.mean(0)


def left_out(x, y, penalty):
    """Each target by a fit to all the others, one by one."""
    rows = []
    for row in range(len(x)):
        weight, of_x, of_y = plain_fit(np.delete(x, row, 0), np.delete(y, row, 0), penalty)
        rows.append(of_y + (x[row] - of_x) @ weight)
    return np.array(rows)


@pytest.mark.parametrize("count", [4, 12])  # fewer than there are inputs, and more
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_the_ridge_is_that_of_least_error_by_plain_refits(count, noise):
    x, y = drawn(count)
    found = fit_ridge(torch.from_numpy(x), torch.from_numpy(y), noise)
    largest = np.linalg.norm(x - x.mean(0), 2) ** 2

    def error(penalty):
        missed = ((y - left_out(x, y, penalty)) ** 2).sum(1).mean()
        return missed + noise * (plain_fit(x, y, penalty)[0] ** 2).sum()

    best = min(largest * RIDGES.numpy(), key=error)
    np.testing.assert_allclose(found.left_out, left_out(x, y, best), rtol=1e-6, atol=1e-8)
    weight, _, mean = plain_fit(x, y, best)
    np.testing.assert_allclose(found.weight, weight, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.mean, mean)


def missed(fit, x, y, noisy):
    """Mean squared error on inputs with noise."""
    return ((fit.mean.numpy() + (noisy - x.mean(0)) @ fit.weight.numpy() - y) ** 2).mean()


@pytest.mark.parametrize("count", [60, 600])
def test_noise_is_allowed_for_however_many_pictures_there_are(count):
    """A ridge for clean inputs does great harm to noisy ones; that of the noise is nearly best."""
    x, y = drawn(count, 12)
    own_x, own_y = drawn(2000, 12, seed=1)
    noisy = own_x + np.random.default_rng(2).standard_normal(own_x.shape)
    clean, allowed = (
        missed(fit_ridge(torch.from_numpy(x), torch.from_numpy(y), noise), x, own_y, noisy)
        for noise in (0.0, 1.0)
    )
    fits = (plain_fit(x, y, penalty) for penalty in np.geomspace(1e-3, 1e5, 200))
    best = min(
        ((of_y + (noisy - of_x) @ weight - own_y) ** 2).mean() for weight, of_x, of_y in fits
    )
    assert allowed < 1.05 * best
    assert clean > 1.5 * allowed


WIDTH, EMBED_DIM, PATCHES = 20, 8, 3


@pytest.fixture
def world():
    """A head, 100 pictures of it, and captions: their embeddings moved and with noise."""
    draw = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=draw)

    head = ImageHead(nn.LayerNorm(WIDTH).requires_grad_(False), normal(WIDTH, EMBED_DIM), patches=3)
    states = normal(100, WIDTH) * torch.linspace(3, 0.1, WIDTH) + normal(WIDTH)
    embedding = head(states)
    patch = states @ normal(WIDTH, WIDTH) + normal(WIDTH)
    captions = embedding[:, None] + 0.3 * normal(100, 1 + PATCHES, EMBED_DIM)
    return head, CalibrationPictures(embedding, states, patch), captions


def test_what_is_common_to_captions_is_not_lifted(world):
    """A modality gap, for whole pictures and for patches each its own, changes nothing."""
    head, pictures, captions = world
    plain = CalibratedHead(head, pictures, captions).lift_pictures(captions)
    gap = torch.tensor([30.0, -20, -20, -20])[:, None].expand(-1, EMBED_DIM)
    moved = CalibratedHead(head, pictures, captions + gap).lift_pictures(captions + gap)
    torch.testing.assert_close(moved, plain, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(plain[:, 0].mean(0), pictures.whole.mean(0), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        plain[:, 1:].mean((0, 1)), pictures.patch.mean(0), rtol=1e-3, atol=1e-3
    )


def test_whole_pictures_and_patches_have_fits_of_their_own(world):
    head, pictures, captions = world
    fitted = CalibratedHead(head, pictures, captions)
    lifted = fitted.lift_pictures(captions)
    assert lifted.shape == (100, 1 + PATCHES, WIDTH)
    torch.testing.assert_close(fitted.lift(captions[:, 0]), lifted[:, 0])

    def correlation(states, own):
        a, b = states - states.mean(0), own - own.mean(0)
        return torch.cosine_similarity(a, b, dim=-1).mean()

    whole, patch = lifted[:, 0], lifted[:, 1:].mean(1)
    assert correlation(whole, pictures.whole) > 0.7 > correlation(whole, pictures.patch)
    assert correlation(patch, pictures.patch) > 0.7 > correlation(patch, pictures.whole)


def test_it_is_the_same_head_but_for_the_lift(world):
    head, pictures, captions = world
    fitted = CalibratedHead(head, pictures, captions)
    assert torch.equal(fitted(pictures.whole), head(pictures.whole))
    assert (fitted.patches, fitted.scale) == (head.patches, head.scale)
    expected = torch.cosine_similarity(
        fit_ridge(pictures.embedding, pictures.whole, caption_noise(pictures.embedding)).left_out,
        pictures.whole.double(),
    ).mean()
    assert fitted.left_out_cosine == pytest.approx(expected.item())


def test_a_captions_noise_is_the_pictures_spread():
    embedding = torch.tensor([[0.0, 2.0], [4.0, 2.0]])
    assert caption_noise(embedding) == pytest.approx(4.0)  # variances 8 and 0
