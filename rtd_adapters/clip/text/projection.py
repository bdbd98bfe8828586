"""The last layer of a text tower: from states to the joint space."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rtd_adapters.clip.text.config import TowerConfig


def build_projection(config: TowerConfig) -> nn.Parameter | nn.Module | None:
    """What a description names: a matrix [width, embed_dim], layers, or nothing."""
    width, out = config.width, config.embed_dim
    match config.projection:
        case "matrix":
            return nn.Parameter(torch.empty(width, out).normal_(std=width**-0.5))
        case "linear":
            return nn.Linear(width, out)
        case "mlp":
            hidden = config.projection_width
            first, second = nn.Linear(width, hidden, False), nn.Linear(hidden, out, False)
            return nn.Sequential(first, nn.GELU(), second)
        case _:
            return None


def project(projection: Tensor | nn.Module | None, states: Tensor) -> Tensor:
    """[..., embed_dim] from states [..., width]."""
    if projection is None:
        return states
    return states @ projection if isinstance(projection, Tensor) else projection(states)
