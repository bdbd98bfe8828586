"""The objective: target-anchored contrastive learning."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

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
            return _rows(vectors, temperature, 0, count) / count
        # The matrix of a large batch would outgrow the towers, so its parts are computed twice.
        parts = [
            checkpoint(_rows, vectors, temperature, first, first + rows, use_reentrant=False)
            for first in range(0, count, rows)
        ]
        return torch.stack(parts).sum() / count


def _rows(vectors: Tensor, temperature: float, first: int, last: int) -> Tensor:
    """The sum of some rows' losses."""
    logits = vectors[first:last] @ vectors.T / temperature
    row = torch.arange(len(logits), device=vectors.device)
    itself = (row, row + first)
    logits = logits.index_put(itself, logits.new_tensor(float("-inf")))
    partner = (row + first + len(vectors) // 2) % len(vectors)
    return F.cross_entropy(logits, partner, reduction="sum")
