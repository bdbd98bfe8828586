"""A text tower of a model's size, without its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from rtd_adapters.clip.text import TextTower, TowerConfig
from rtd_adapters.errors import BackboneError


def random_tower(backbone: str) -> TextTower:
    """A text tower with random weights, of the size of an open_clip model or config JSON.

    Raises:
        BackboneError: open_clip knows no such model, or its text tower is not CLIP's.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tower = TextTower(_tower_config(backbone))
    return tower.eval().requires_grad_(False)


def _tower_config(backbone: str) -> TowerConfig:
    model = _model_config(backbone)
    text = model.get("text_cfg", {})
    if "width" not in text:
        raise BackboneError(
            f"{backbone!r} is no open_clip model with a CLIP text tower. Try ViT-B-32 or ViT-L-14."
        )
    return TowerConfig(
        width=text["width"],
        layers=text["layers"],
        heads=text["heads"],
        embed_dim=model["embed_dim"],
        activation="quick_gelu" if model.get("quick_gelu") else "gelu",
        vocab_size=text["vocab_size"],
        context_length=text["context_length"],
    )


def _model_config(backbone: str) -> dict[str, Any]:
    import open_clip

    path = Path(backbone)
    if path.suffix == ".json" and path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    return open_clip.get_model_config(backbone) or {}
