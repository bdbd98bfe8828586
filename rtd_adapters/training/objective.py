"""The objective: target-anchored contrastive learning."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


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
        logits = vectors @ vectors.T / temperature
        logits = logits.masked_fill(
            torch.eye(len(vectors), dtype=torch.bool, device=vectors.device), float("-inf")
        )
        pairs = len(queries)
        partner = torch.arange(2 * pairs, device=vectors.device).roll(pairs)
        return F.cross_entropy(logits, partner)
