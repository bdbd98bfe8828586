"""Loads a backbone: text tower, image tower and the sizes a projection must fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rtd_adapters.clip.image_head import ImageHead, image_head
from rtd_adapters.clip.images import image_width
from rtd_adapters.clip.open_clip_models import load_open_clip, open_clip_shape
from rtd_adapters.clip.shapes import BackboneShape
from rtd_adapters.clip.sources import backbone_source
from rtd_adapters.clip.text import TextTower, Tokenizer, tower_from_model
from rtd_adapters.clip.transformers_models import load_transformers, transformers_shape
from rtd_adapters.errors import BackboneError

DEFAULT = "demo"
"""What is used where no backbone is named: the built-in world, which a plugin of ours brings."""
EMBED_BATCH = 256


@dataclass
class Backbone:
    """A CLIP model, ready for text-only training and for evaluation.

    `tower` is the frozen text tower in fp32. `model` is the live model that images go through, as
    its own library built it, and `preprocess` its image transform; both are None once
    `drop_images` was called.
    """

    name: str
    pretrained: str | None
    tower: TextTower
    shape: BackboneShape
    model: nn.Module | None
    preprocess: Callable[[Any], Tensor] | None
    image_head: ImageHead = field(default_factory=ImageHead)
    """The image tower's end, which outlives `drop_images`."""

    @property
    def label(self) -> str:
        """`name/pretrained`, as in ViT-L-14/openai."""
        return f"{self.name}/{self.pretrained}" if self.pretrained else self.name

    def drop_images(self) -> Backbone:
        """Free the image tower, which training never needs."""
        self.model = self.preprocess = None
        return self

    @torch.no_grad()
    def embed_captions(self, captions: Sequence[str]) -> Tensor:
        """[N, embed_dim] unnormalised embeddings of plain captions by the frozen tower."""
        tokenizer = Tokenizer(self.tower.config.context_length)
        device = self.tower.device
        rows = [
            self.tower(tokenizer.encode(captions[start : start + EMBED_BATCH]).to(device))
            for start in range(0, len(captions), EMBED_BATCH)
        ]
        return torch.cat(rows) if rows else torch.empty(0, self.shape.embed_dim, device=device)


def load_backbone(name: str = DEFAULT, pretrained: str | None = None) -> Backbone:
    """Load a backbone on the CPU in fp32.

    Args:
        name: one that a plugin brings (`demo` is the built-in world), an open_clip model name, the
            path of an open_clip model-config JSON, or a local transformers CLIP folder.
        pretrained: an open_clip weights tag, or a local .safetensors or .pt file. Not for folders
            and for what plugins bring: they have their own weights.

    Raises:
        BackboneError: the name or tag is unknown, or weights are missing or do not fit.
        FileError: a local file is missing or damaged.
    """
    source = backbone_source(name)
    if source is None and not Path(name).is_dir():
        model, preprocess = load_open_clip(name, pretrained)
    elif pretrained is not None:
        raise BackboneError(f"{name} brings its own weights. Leave --pretrained out.")
    else:
        model, preprocess = source.load() if source else load_transformers(Path(name))
    model = model.float().eval().requires_grad_(False)
    tower = tower_from_model(model).requires_grad_(False)
    shape = BackboneShape(tower.config.embed_dim, tower.config.width, image_width(model))
    return Backbone(name, pretrained, tower, shape, model, preprocess, image_head(model))


def backbone_shape(name: str = DEFAULT) -> BackboneShape:
    """The sizes of a backbone, without loading its weights.

    Raises:
        BackboneError, FileError: as `load_backbone`.
    """
    if source := backbone_source(name):
        return source.shape()
    if Path(name).is_dir():
        return transformers_shape(Path(name))
    return open_clip_shape(name)
