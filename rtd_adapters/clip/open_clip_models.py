"""Backbones that open_clip builds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from rtd_adapters.clip.model_configs import read_model_config
from rtd_adapters.clip.shapes import BackboneShape
from rtd_adapters.errors import BackboneError, first_line
from rtd_adapters.io.checkpoints import read_checkpoint


def load_open_clip(name: str, pretrained: str | None) -> tuple[nn.Module, Callable[[Any], Tensor]]:
    """The model of an open_clip name or config JSON with its weights, and its image transform.

    Raises:
        BackboneError: the name or tag is unknown, or the weights do not fit.
        FileError: a local file is missing or damaged.
    """
    import open_clip

    name = _known_name(name)
    if pretrained is None:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none"
        raise BackboneError(
            f"{name} needs --pretrained: a weights file or one of open_clip's tags ({tags})."
        )
    tag = open_clip.get_pretrained_cfg(name, pretrained)
    if not tag:
        _require_weights(name, pretrained)
    try:
        model, _, preprocess = open_clip.create_model_and_transforms(
            name,
            pretrained=pretrained,
            # A tag knows the activation its weights were trained with; a file does not, so there
            # the model name decides (ViT-L-14-quickgelu for OpenAI's weights).
            force_quick_gelu=bool(tag.get("quick_gelu")),
        )
    except Exception as error:
        raise BackboneError(
            f"{name} with {pretrained} did not load: {first_line(error)}"
        ) from error
    return model, preprocess


def _known_name(name: str) -> str:
    """The name under which open_clip knows a model; a config JSON is made known first."""
    import open_clip

    if name.endswith(".json"):
        name = _register_config(Path(name))
    if open_clip.get_model_config(name) is None:
        raise BackboneError(
            f"Unknown backbone {name!r}. Pass 'demo', a transformers folder, a model-config JSON, "
            f"or one of open_clip's models, such as ViT-B-32, ViT-L-14 or ViT-H-14."
        )
    return name


def _register_config(path: Path) -> str:
    import open_clip

    read_model_config(path)
    open_clip.add_model_config(path)
    return path.stem


def _require_weights(name: str, pretrained: str) -> None:
    """Check a local weights file before open_clip does, whose words for a bad one are obscure."""
    import open_clip

    path = Path(pretrained)
    if not path.exists():
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none"
        raise BackboneError(
            f"{pretrained!r} is neither a file nor a weights tag of {name} (known tags: {tags})."
        )
    read_checkpoint(path)


def open_clip_shape(name: str) -> BackboneShape:
    """The sizes of an open_clip model or config JSON.

    Raises:
        BackboneError: the name is unknown.
        FileError: the JSON is missing or damaged, or its sizes are absurd.
    """
    import open_clip

    return config_shape(open_clip.get_model_config(_known_name(name)))


def config_shape(config: dict[str, Any]) -> BackboneShape:
    """Sizes from an open_clip model config."""
    vision = config["vision_cfg"]
    # A list of layers marks a ResNet, whose attention pool gives states in the joint space.
    pools = isinstance(vision.get("layers"), list)
    states = config["embed_dim"] if pools else vision["width"]
    return BackboneShape(config["embed_dim"], config["text_cfg"]["width"], states)
