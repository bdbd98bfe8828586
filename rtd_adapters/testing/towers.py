"""Small random networks in a real backbone's place."""

from __future__ import annotations

import torch
from torch import nn

from rtd_adapters.clip.image_head import ImageHead
from rtd_adapters.clip.shapes import BackboneShape
from rtd_adapters.clip.text import TextTower, TowerConfig

SMALL = BackboneShape(embed_dim=32, text_width=64, image_width=48)
"""No two sizes are equal, so that none is taken for another unseen."""
OTHER = BackboneShape(embed_dim=24, text_width=48, image_width=40)
PATCHES = 6


def small_tower(shape: BackboneShape = SMALL, layers: int = 2, seed: int = 0) -> TextTower:
    """A random text tower of CLIP's vocabulary and context length, frozen and in eval mode.

    Args:
        shape: of its backbone.
        layers: its blocks.
        seed: of its weights.
    """
    config = TowerConfig(
        width=shape.text_width, layers=layers, heads=2, embed_dim=shape.embed_dim, activation="gelu"
    )
    generator = torch.Generator().manual_seed(seed)
    tower = TextTower(config)
    # Weights as CLIP's are initialised give nearly the same embedding for every text, and a
    # difference between two of them would drown in rounding.
    with torch.no_grad():
        for name, parameter in tower.named_parameters():
            gain = name.endswith(".weight") and "ln_" in name
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(0.1 * noise + (1.0 if gain else 0.0))
    return tower.eval().requires_grad_(False)


def small_image_head(shape: BackboneShape = SMALL, seed: int = 0) -> ImageHead:
    """A random image head, which lifts captions to states [B, 1 + 6, image width]."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape.image_width, shape.embed_dim, generator=generator)
    norm = nn.LayerNorm(shape.image_width).requires_grad_(False)
    return ImageHead(norm, 0.2 * weight, patches=PATCHES)
