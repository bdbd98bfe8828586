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
SHIFT, SCALE = "gap.shift", "gap.scale"
HALVINGS = 40


def modality_gap(pictures: Tensor, texts: Tensor) -> float:
    """Distance of the centroids of normalised embeddings [N, embed_dim] and [M, embed_dim]."""
    return _between(pictures, texts).norm().item()


def widening(pictures: Tensor, texts: Tensor, norm: float) -> dict[str, Tensor]:
    """What `move_texts` needs to make the gap between these embeddings DISTANCE.

    The texts move along the gap that is there, and then are scaled to mean norm `norm`.
    """
    along = F.normalize(_between(pictures, texts), dim=0)
    short, long = 0.0, 10 * norm
    for _ in range(HALVINGS):
        middle = (short + long) / 2
        wide = modality_gap(pictures, texts + middle * along) > DISTANCE
        short, long = (short, middle) if wide else (middle, long)
    moved = texts + long * along
    return {SHIFT: long * along, SCALE: norm / moved.norm(dim=-1).mean()}


@torch.no_grad()
def move_texts(model: Any, tensors: dict[str, Tensor]) -> None:
    """Move what an open_clip CLIP makes of any text, in place, by a constant vector.

    Args:
        tensors: what `widening` found.
    """
    back = torch.linalg.lstsq(model.text_projection.T, tensors[SHIFT][:, None].float()).solution
    model.ln_final.bias.add_(back[:, 0])
    model.text_projection.mul_(tensors[SCALE].float())


def _between(pictures: Tensor, texts: Tensor) -> Tensor:
    return F.normalize(texts, dim=-1).mean(0) - F.normalize(pictures, dim=-1).mean(0)
