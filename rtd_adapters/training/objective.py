"""The objective: target-anchored contrastive learning."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

HELD = 1 << 21
"""Entries of the similarity matrix that are held at a time."""


def nt_xent(anchors: Tensor, queries: Tensor, temperature: float) -> Tensor:
    """NT-Xent over M pairs (RTD, section on target-anchored contrastive learning).

    All 2M L2-normalised vectors form one set. Each is pulled to its partner and pushed from every
    other vector of the set, those of its own side included; the mean runs over all 2M.

    Args:
        anchors: [M, embed_dim] frozen embeddings of the captions, any precision.
        queries: [M, embed_dim] trained embeddings of the prompts, any precision.
        temperature: tau.

    Returns:
        A scalar in fp32 (fp64 for fp64 input). exp(1/tau) overflows fp16, so the softmax is a
        log-sum-exp in at least fp32 whatever the towers ran in.
    """
    precision = torch.promote_types(queries.dtype, torch.float32)
    with torch.autocast(queries.device.type, enabled=False):
        vectors = torch.cat(
            [F.normalize(side.to(precision), dim=-1) for side in (anchors, queries)]
        )
        count = len(vectors)
        rows = max(1, HELD // count)
        if count <= rows:
            return _whole(vectors, temperature) / count
        total: Tensor = _InParts.apply(vectors, temperature, rows)
        return total / count


class _InParts(torch.autograd.Function):
    """The sum of all rows' losses, a part of the similarity matrix at a time.

    The matrix of a large batch would outgrow the towers. Its gradient is taken in the same pass and
    in one buffer, so that nothing is computed twice and memory stays what `HELD` says.
    """

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, temperature: float, rows: int) -> Tensor:
        count = len(vectors)
        buffer, gradient = vectors.new_empty(rows, count), torch.zeros_like(vectors)
        total = vectors.new_zeros(())
        for first in range(0, count, rows):
            own = vectors[first : first + rows]
            row = torch.arange(len(own), device=vectors.device)
            partner = (row + first + count // 2) % count
            logits = torch.mm(own, vectors.T, out=buffer[: len(own)]).div_(temperature)
            logits[row, row + first] = float("-inf")
            whole = logits.logsumexp(dim=1)
            total += (whole - logits[row, partner]).sum()
            share = logits.sub_(whole[:, None]).exp_()
            share[row, partner] -= 1
            gradient[first : first + rows].addmm_(share, vectors, alpha=1 / temperature)
            gradient.addmm_(share.T, own, alpha=1 / temperature)
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0], None, None


def _whole(vectors: Tensor, temperature: float) -> Tensor:
    """The sum of all rows' losses."""
    logits = vectors @ vectors.T / temperature
    row = torch.arange(len(logits), device=vectors.device)
    logits = logits.index_put((row, row), logits.new_full((), float("-inf")))
    partner = (row + len(vectors) // 2) % len(vectors)
    return F.cross_entropy(logits, partner, reduction="sum")
