"""Refined concatenation: a noisy frozen embedding takes the place of an image embedding."""

from __future__ import annotations

import torch
from torch import Tensor

from rtd_adapters.compute.devices import onto


def add_noise(
    embedding: Tensor,
    scale: float,
    generator: torch.Generator,
    first: int = 0,
    whole: int | None = None,
    relative: bool = False,
) -> Tensor:
    """`embedding + scale * U(0,1) * N(0,I)`, with one uniform draw for each vector.

    Args:
        embedding: [B, ..., embed_dim], unnormalised.
        scale: `noise_scale`; 0 returns the embedding itself.
        generator: a CPU generator, so that one seed gives the same noise on every device.
        first: place of the first of the B rows in a batch they are a part of.
        whole: rows of that batch. Noise is drawn for all of it, so a part gets what it would get
            in the whole.
        relative: scale every vector's noise by its own length over the square root of its width,
            which makes `scale` 1 noise as long as the vector itself. Ours: the published scale is
            for embeddings of CLIP's length.

    Source: RTD, refined concatenation scheme.
    """
    if scale == 0:
        return embedding
    rows = slice(first, first + len(embedding))
    shape = (whole or len(embedding), *embedding.shape[1:])
    uniform = onto(torch.rand(*shape[:-1], 1, generator=generator)[rows], embedding.device)
    normal = onto(torch.randn(shape, generator=generator)[rows], embedding.device)
    if relative:
        lengths = embedding.float().norm(dim=-1, keepdim=True)
        normal = normal * lengths / embedding.shape[-1] ** 0.5
    return embedding + (scale * uniform * normal).to(embedding)
