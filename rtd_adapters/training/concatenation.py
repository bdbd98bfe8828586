"""Refined concatenation: a noisy frozen embedding takes the place of an image embedding."""

from __future__ import annotations

import torch
from torch import Tensor


def add_noise(embedding: Tensor, scale: float, generator: torch.Generator) -> Tensor:
    """`embedding + scale * U(0,1) * N(0,I)`, with one uniform draw for each vector.

    Args:
        embedding: [..., embed_dim], unnormalised.
        scale: `noise_scale`; 0 returns the embedding itself.
        generator: a CPU generator, so that one seed gives the same noise on every device.

    Source: RTD, refined concatenation scheme.
    """
    if scale == 0:
        return embedding
    uniform = torch.rand(*embedding.shape[:-1], 1, generator=generator)
    normal = torch.randn(embedding.shape, generator=generator)
    return embedding + (scale * uniform * normal).to(embedding)
