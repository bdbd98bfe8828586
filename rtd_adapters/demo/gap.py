"""The modality gap: how it is measured, and how it is widened by construction.

Liang et al. 2022, "Mind the Gap", give the measure and CLIP's figure.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

DISTANCE = 0.82
"""CLIP's, on MS-COCO."""
BIAS, SCALE = "gap.bias", "gap.scale"
PRICE = 0.01
"""Of a squared step of the text tower's last bias, against the pictures' variance along it."""
HALVINGS = 40


def modality_gap(pictures: Tensor, texts: Tensor) -> float:
    """Distance of the centroids of normalised embeddings [N, embed_dim] and [M, embed_dim]."""
    return _between(pictures, texts).norm().item()


def widening(pictures: Tensor, texts: Tensor, projection: Tensor, norm: float) -> dict[str, Tensor]:
    """What `move_texts` needs to make the gap between these embeddings DISTANCE.

    The texts move along a direction in which pictures hardly vary, as CLIP's gap is one (Zhang et
    al. 2023), so that no picture's rank changes; then they are scaled to mean norm `norm`.

    Args:
        pictures: [N, embed_dim].
        texts: [M, embed_dim].
        projection: the text tower's, [width, embed_dim].
        norm: of the texts in the end.
    """
    bias = _cheapest_bias(pictures, projection)
    shift = bias @ projection
    if shift @ _between(pictures, texts) < 0:
        bias, shift = -bias, -shift
    short, long = 0.0, 10 * norm
    for _ in range(HALVINGS):
        middle = (short + long) / 2
        wide = modality_gap(pictures, texts + middle * shift) > DISTANCE
        short, long = (short, middle) if wide else (middle, long)
    moved = texts + long * shift
    return {BIAS: long * bias, SCALE: norm / moved.norm(dim=-1).mean()}


@torch.no_grad()
def move_texts(model: Any, tensors: dict[str, Tensor]) -> None:
    """Move what an open_clip CLIP makes of any text, in place, by a constant vector.

    Args:
        tensors: what `widening` found.
    """
    model.ln_final.bias.add_(tensors[BIAS])
    model.text_projection.mul_(tensors[SCALE])


def _cheapest_bias(pictures: Tensor, projection: Tensor) -> Tensor:
    """The bias [width] behind a unit shift, for which pictures vary least and it is itself small.

    A shift that the projection hardly lets through would need a bias beside which the text is lost.
    """
    through = projection.double()
    variance = torch.cov(pictures.double().T)
    cost = variance + PRICE * torch.linalg.inv(through.T @ through)
    shift = torch.linalg.eigh(cost).eigenvectors[:, 0]
    return torch.linalg.lstsq(through.T, shift[:, None]).solution[:, 0].float()


def _between(pictures: Tensor, texts: Tensor) -> Tensor:
    return F.normalize(texts, dim=-1).mean(0) - F.normalize(pictures, dim=-1).mean(0)
