"""Loads a backbone: text tower, image tower and the sizes a projection must fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rtd_adapters.clip.agreement import require_agreement
from rtd_adapters.clip.image_head import ImageHead, UnknownHead, image_head
from rtd_adapters.clip.images import image_width
from rtd_adapters.clip.open_clip_models import known_name, load_open_clip, open_clip_shape
from rtd_adapters.clip.shapes import BackboneShape
from rtd_adapters.clip.sources import backbone_source
from rtd_adapters.clip.text import (
    TextTower,
    TowerConfig,
    Vocabulary,
    find_tower,
    tower_from_model,
)
from rtd_adapters.clip.transformers_models import load_transformers, transformers_shape
from rtd_adapters.clip.vocabularies import folder_vocabulary, open_clip_vocabulary
from rtd_adapters.errors import BackboneError, UsageError
from rtd_adapters.io.hub_files import SCHEME, fetched_file, fetched_folder, hub_place

DEFAULT = "demo"
"""What is used where no backbone is named: the built-in world, which a plugin of ours brings."""
EMBED_BATCH = 256
TEXT_ONLY = "its weights hold a text tower only. Pass --pretrained with a complete CLIP."


@dataclass
class Backbone:
    """A CLIP model, ready for text-only training and for evaluation.

    `tower` is the frozen text tower in fp32. `model` is the live model that images go through, as
    its own library built it, and `preprocess` its image transform; both are None where the weights
    hold no image tower and once `drop_images` was called.
    """

    name: str
    pretrained: str | None
    tower: TextTower
    shape: BackboneShape
    model: nn.Module | None
    preprocess: Callable[[Any], Tensor] | None
    image_head: ImageHead = field(default_factory=ImageHead)
    """The image tower's end, which outlives `drop_images`."""
    layout: str = "openai"
    """How the live model names the text tower's tensors."""
    without_images: str = (
        "it was dropped (drop_images). Load the backbone again with load_backbone."
    )
    """Why there is no image tower, where there is none, and what to do."""

    @property
    def label(self) -> str:
        """`name/pretrained`, as in ViT-L-14/openai."""
        return f"{self.name}/{self.pretrained}" if self.pretrained else self.name

    def to(self, device: torch.device) -> Backbone:
        """Move both towers to a device, in place."""
        self.tower.to(device)
        self.image_head.to(device)
        if self.model is not None:
            self.model.to(device)
        return self

    def drop_images(self) -> Backbone:
        """Free the image tower, which training never needs."""
        self.model = self.preprocess = None
        return self

    def images(self) -> tuple[nn.Module, Callable[[Any], Tensor]]:
        """What pictures go through: the live model, and its image transform.

        Raises:
            UsageError: there is no image tower; why not is said.
        """
        if self.model is None or self.preprocess is None:
            raise UsageError(f"{self.label} has no image tower for rtd: {self.without_images}")
        return self.model, self.preprocess

    @torch.no_grad()
    def embed_captions(self, captions: Sequence[str]) -> Tensor:
        """[N, embed_dim] unnormalised embeddings of plain captions by the frozen tower."""
        tokenizer = self.tower.tokenizer()
        device = self.tower.device
        parts = (captions[s : s + EMBED_BATCH] for s in range(0, len(captions), EMBED_BATCH))
        rows = [self.tower(self.tower.trimmed(tokenizer.encode(p).to(device))) for p in parts]
        return torch.cat(rows) if rows else torch.empty(0, self.shape.embed_dim, device=device)


def load_backbone(name: str = DEFAULT, pretrained: str | None = None) -> Backbone:
    """Load a backbone on the CPU in fp32.

    Args:
        name: one that a plugin brings (`demo` is the built-in world), an open_clip model name, the
            path of an open_clip model-config JSON, or a transformers folder of a CLIP, SigLIP,
            MetaCLIP 2 or BLIP: on this disk, or a repository on the Hub (`hub_place`).
        pretrained: an open_clip weights tag, or a .safetensors or .pt file: on this disk, or
            hf://owner/name/file. Not for folders
            and for what plugins bring: they have their own weights. A file may hold a text tower
            alone, which is enough where no pictures are needed.

    Raises:
        BackboneError: the name or tag is unknown, weights or tokenizer are missing or do not fit,
            or the text tower is none that rtd knows, exactly.
        FileError: a local file is missing or damaged.
    """
    place, weights = _on_disk(name), pretrained and _weights_on_disk(pretrained)
    model, preprocess, why_not = _load_model(place, weights)
    model = model.float().eval().requires_grad_(False)
    live = find_tower(model)
    tower = tower_from_model(model).requires_grad_(False)
    tower.vocabulary = _vocabulary(place, weights, tower.config)
    require_agreement(live, tower, name)
    embed_dim, text_width = tower.config.embed_dim, tower.config.width
    if preprocess is None:
        blind = UnknownHead(f"{name} has no image tower for rtd: {why_not}")
        shape = BackboneShape(embed_dim, text_width, 0)
        return Backbone(name, pretrained, tower, shape, None, None, blind, live.layout, why_not)
    head, width = _image_end(model)
    shape = BackboneShape(embed_dim, text_width, width)
    return Backbone(name, pretrained, tower, shape, model, preprocess, head, live.layout)


def _on_disk(name: str) -> str:
    """The name, or the folder that a repository on the Hub was fetched into.

    Raises:
        BackboneError: it holds no model of transformers.
    """
    place = None if backbone_source(name) else hub_place(name)
    if place is None:
        return name
    folder = fetched_folder(place)
    if not (folder / "config.json").is_file():
        raise BackboneError(
            f"{name} holds no model of transformers. Where it holds open_clip's weights, pass the "
            "model's name as backbone and hf://owner/name/file as pretrained."
        )
    return str(folder)


def _weights_on_disk(pretrained: str) -> str:
    """A tag or path as it is; weights on the Hub as the file they were fetched into."""
    return str(fetched_file(pretrained)) if pretrained.startswith(SCHEME) else pretrained


def _load_model(
    name: str, pretrained: str | None
) -> tuple[nn.Module, Callable[[Any], Tensor] | None, str]:
    """The live model, its image transform, and why it has none where it has none."""
    source = backbone_source(name)
    if source is None and not Path(name).is_dir():
        return (*load_open_clip(name, pretrained), TEXT_ONLY)
    if pretrained is not None:
        raise BackboneError(f"{name} brings its own weights. Leave --pretrained out.")
    return (*source.load(), "") if source else load_transformers(Path(name))


def _vocabulary(name: str, pretrained: str | None, config: TowerConfig) -> Vocabulary:
    if source := backbone_source(name):
        return source.vocabulary()
    if Path(name).is_dir():
        return folder_vocabulary(Path(name), config)
    return open_clip_vocabulary(known_name(name), pretrained, config)


def _image_end(model: nn.Module) -> tuple[ImageHead, int]:
    """A model's image head, and the width of the states before it; only some methods need them."""
    try:
        return image_head(model), image_width(model)
    except BackboneError as error:
        return UnknownHead(str(error)), 0


def backbone_shape(name: str = DEFAULT) -> BackboneShape:
    """The sizes of a backbone, without loading its weights.

    Raises:
        BackboneError, FileError: as `load_backbone`.
    """
    if source := backbone_source(name):
        return source.shape()
    place = _on_disk(name)
    if Path(place).is_dir():
        return transformers_shape(Path(place))
    return open_clip_shape(place)
