"""Backbones in transformers' folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from rtd_adapters.clip.shapes import BackboneShape
from rtd_adapters.errors import BackboneError


def load_transformers(folder: Path) -> tuple[nn.Module, Callable[[Any], Tensor]]:
    """The CLIPModel in a local folder, and its image transform.

    Raises:
        BackboneError: the folder holds none, or not all of it.
    """
    from transformers import CLIPImageProcessor, CLIPModel

    if not (folder / "config.json").is_file():
        raise BackboneError(f"{folder} has no config.json, so it is no transformers CLIP folder.")
    try:
        model, report = CLIPModel.from_pretrained(
            folder, local_files_only=True, output_loading_info=True
        )
    except Exception as error:
        raise BackboneError(
            f"{folder} does not load as a transformers CLIPModel: {error}"
        ) from error
    if report["missing_keys"]:
        # transformers fills what a folder lacks with random numbers and only warns.
        first = ", ".join(sorted(report["missing_keys"])[:3])
        raise BackboneError(
            f"{folder} lacks {len(report['missing_keys'])} tensors ({first}, ...). "
            "Save the full CLIPModel there, with its vision tower."
        )
    if not (folder / "preprocessor_config.json").is_file():
        return model, CLIPImageProcessor(return_tensors="pt")
    return model, CLIPImageProcessor.from_pretrained(folder, local_files_only=True)


def transformers_shape(folder: Path) -> BackboneShape:
    """The sizes that a folder's config tells."""
    from transformers import CLIPConfig

    sizes = CLIPConfig.from_pretrained(folder, local_files_only=True)
    widths = sizes.text_config.hidden_size, sizes.vision_config.hidden_size
    return BackboneShape(sizes.projection_dim, *widths)
