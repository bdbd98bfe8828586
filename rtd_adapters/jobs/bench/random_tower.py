"""A text tower of a model's size, without its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from rtd_adapters.clip.model_configs import read_model_config
from rtd_adapters.clip.text import TextTower, tower_from_model
from rtd_adapters.errors import BackboneError, first_line
from rtd_adapters.jobs.bench.folded_vocabulary import FoldedBytePairs

NO_IMAGES = {"layers": 1, "width": 64, "image_size": 32, "patch_size": 16}
"""The smallest image tower: none is timed, but open_clip builds no model without."""


def random_tower(backbone: str) -> TextTower:
    """A text tower with random weights, as open_clip builds it for a model or config JSON.

    It reads CLIP's tokens, folded into its own table: texts are as long as in CLIP.

    Raises:
        BackboneError: open_clip knows no such model, or its text tower is none that rtd knows.
    """
    model = _model_config(backbone)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tower = tower_from_model(_text_model(model, backbone)).requires_grad_(False)
    tower.vocabulary = FoldedBytePairs(tower.config)
    return tower


def _text_model(model: dict[str, Any], backbone: str) -> Any:
    from open_clip.model import CustomTextCLIP

    text, quick_gelu = dict(model["text_cfg"]), bool(model.get("quick_gelu"))
    text["hf_model_pretrained"] = False
    try:
        return CustomTextCLIP(model["embed_dim"], NO_IMAGES, text, quick_gelu=quick_gelu)
    except Exception as error:  # a text model of the Hub's, whose config is not at hand
        raise BackboneError(
            f"The text tower of {backbone} cannot be built: {first_line(error)}"
        ) from error


def _model_config(backbone: str) -> dict[str, Any]:
    import open_clip

    path = Path(backbone)
    if path.suffix == ".json":
        return read_model_config(path)
    config = open_clip.get_model_config(backbone)
    if config is None:
        raise BackboneError(
            f"{backbone!r} is no open_clip model. Try ViT-B-32, ViT-L-14 or ViT-B-16-SigLIP2."
        )
    return config
