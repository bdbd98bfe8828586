"""The objective against plain float64 loops, and against half precision."""

from __future__ import annotations

import math

import pytest
import torch

from rtd_adapters.training.objective import nt_xent


def unit(vector):
    norm = math.sqrt(sum(x * x for x in vector))
    return [x / norm for x in vector]


def loop_loss(anchors, queries, temperature):
    """NT-Xent as the paper's formula reads, in Python floats."""
    vectors = [unit(v) for v in anchors] + [unit(v) for v in queries]
    pairs, total = len(queries), 0.0
    for i, one in enumerate(vectors):
        scores = [
            sum(a * b for a, b in zip(one, other, strict=True)) / temperature for other in vectors
        ]
        partner = (i + pairs) % (2 * pairs)
        denominator = sum(math.exp(s) for j, s in enumerate(scores) if j != i)
        total -= math.log(math.exp(scores[partner]) / denominator)
    return total / (2 * pairs)


@pytest.mark.parametrize(("pairs", "width"), [(1, 3), (2, 4), (5, 8)])
@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_loss_and_gradient_equal_loops(pairs, width, temperature):
    generator = torch.Generator().manual_seed(pairs)
    anchors, queries = (
        torch.randn(pairs, width, generator=generator, dtype=torch.float64) for _ in "ab"
    )
    queries.requires_grad_()
    loss = nt_xent(anchors, queries, temperature)
    loss.backward()
    assert loss.item() == pytest.approx(
        loop_loss(anchors.tolist(), queries.tolist(), temperature), abs=1e-9
    )
    step = 1e-6
    for row in range(pairs):
        for column in range(width):
            values = []
            for sign in (1, -1):
                moved = queries.detach().clone()
                moved[row, column] += sign * step
                values.append(loop_loss(anchors.tolist(), moved.tolist(), temperature))
            slope = (values[0] - values[1]) / (2 * step)
            assert queries.grad[row, column].item() == pytest.approx(slope, abs=1e-6)


def test_same_side_negatives_are_in_the_denominator():
    """The two-sided InfoNCE, without same-side pairs, has another value."""
    generator = torch.Generator().manual_seed(0)
    anchors, queries = (torch.randn(4, 8, generator=generator) for _ in "ab")
    a, q = (torch.nn.functional.normalize(side, dim=-1) for side in (anchors, queries))
    logits, labels = q @ a.T / 0.07, torch.arange(4)
    info_nce = (
        torch.nn.functional.cross_entropy(logits, labels)
        + torch.nn.functional.cross_entropy(logits.T, labels)
    ) / 2
    assert nt_xent(anchors, queries, 0.07) > info_nce + 0.05


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_towers_give_a_finite_fp32_loss(dtype):
    generator = torch.Generator().manual_seed(0)
    anchors, queries = (torch.randn(8, 16, generator=generator) for _ in "ab")
    exact = nt_xent(anchors, queries, 0.07)
    half = nt_xent(anchors.to(dtype), queries.to(dtype), 0.07)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(exact.item(), rel=2e-2)
    with torch.autocast("cpu", torch.bfloat16):
        assert nt_xent(anchors, queries, 0.07).item() == pytest.approx(exact.item(), abs=1e-6)


def test_the_scale_of_either_side_does_not_matter():
    anchors, queries = torch.randn(3, 4), torch.randn(3, 4)
    loss = nt_xent(anchors, queries, 0.07)
    assert torch.allclose(loss, nt_xent(5 * anchors, queries, 0.07), atol=1e-5)
    assert torch.allclose(loss, nt_xent(anchors, 0.1 * queries, 0.07), atol=1e-5)
