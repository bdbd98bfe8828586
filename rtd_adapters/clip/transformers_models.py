"""Backbones in transformers' folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from rtd_adapters.clip.shapes import BackboneShape
from rtd_adapters.errors import BackboneError, first_line


@dataclass(frozen=True)
class FolderKind:
    """What transformers makes of a folder of some type."""

    model: str
    """The class that has a text tower with its way to the joint space."""
    processor: str
    """The image transform where the folder names none."""
    embed_dim: tuple[str, ...]
    """Where its config has the width of the joint space; the first that is there counts."""
    text: str = "text_config"
    """Where its config has the text tower's sizes."""


KINDS: Mapping[str, FolderKind] = {
    "clip": FolderKind("CLIPModel", "CLIPImageProcessor", ("projection_dim",)),
    "metaclip_2": FolderKind("MetaClip2Model", "CLIPImageProcessor", ("projection_dim",)),
    "siglip": FolderKind(
        "SiglipModel",
        "SiglipImageProcessor",
        ("text_config.projection_size", "text_config.hidden_size"),
    ),
    "siglip2": FolderKind(
        "Siglip2Model",
        "Siglip2ImageProcessor",
        ("text_config.projection_size", "text_config.hidden_size"),
    ),
    "blip": FolderKind(
        "BlipForImageTextRetrieval", "BlipImageProcessor", ("image_text_hidden_size",)
    ),
    "blip-2": FolderKind(
        "Blip2ForImageTextRetrieval",
        "BlipImageProcessor",
        ("image_text_hidden_size",),
        "qformer_config",
    ),
}
"""By `model_type` in config.json."""


def load_transformers(folder: Path) -> tuple[nn.Module, Callable[[Any], Tensor]]:
    """The model in a local folder, and its image transform.

    Raises:
        BackboneError: the folder holds none that rtd knows, or not all of it.
    """
    import transformers

    kind = _kind(_config(folder), folder)
    try:
        model, report = getattr(transformers, kind.model).from_pretrained(
            folder, local_files_only=True, output_loading_info=True
        )
    except Exception as error:
        raise BackboneError(
            f"{folder} does not load as a transformers {kind.model}: {error}"
        ) from error
    if report["missing_keys"]:
        # transformers fills what a folder lacks with random numbers and only warns.
        first = ", ".join(sorted(report["missing_keys"])[:3])
        raise BackboneError(
            f"{folder} lacks {len(report['missing_keys'])} tensors ({first}, ...). "
            f"Save the full {kind.model} there, with its vision tower."
        )
    if not (folder / "preprocessor_config.json").is_file():
        return model, getattr(transformers, kind.processor)(return_tensors="pt")
    processor = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    return model, processor


def transformers_shape(folder: Path) -> BackboneShape:
    """The sizes that a folder's config tells.

    Raises:
        BackboneError: the folder holds none that rtd knows.
    """
    config = _config(folder)
    kind = _kind(config, folder)
    sizes = (_at(config, path) for path in kind.embed_dim)
    embed_dim = next(size for size in sizes if size is not None)
    text, vision = getattr(config, kind.text), config.vision_config
    # Only CLIP's image towers give states that methods read (`images`).
    image_width = vision.hidden_size if config.model_type == "clip" else 0
    return BackboneShape(embed_dim, text.hidden_size, image_width)


def _config(folder: Path) -> Any:
    from transformers import AutoConfig

    if not (folder / "config.json").is_file():
        raise BackboneError(f"{folder} has no config.json, so it is no transformers CLIP folder.")
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise BackboneError(
            f"{folder}/config.json is of no model that transformers knows: {first_line(error)}"
        ) from error


def _kind(config: Any, folder: Path) -> FolderKind:
    if config.model_type not in KINDS:
        raise BackboneError(
            f"{folder} holds a {config.model_type!r}; rtd knows {', '.join(KINDS)}. "
            "docs/towers.md lists what can be patched."
        )
    return KINDS[config.model_type]


def _at(config: Any, path: str) -> Any:
    for name in path.split("."):
        config = getattr(config, name, None)
    return config
