"""Backbones that open_clip builds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

from torch import Tensor, nn

from rtd_adapters.clip.model_configs import read_model_config
from rtd_adapters.clip.open_clip_pictures import picture_settings
from rtd_adapters.clip.shapes import BackboneShape
from rtd_adapters.clip.text import find_tower, from_layout, holds_tower, to_layout
from rtd_adapters.errors import BackboneError, first_line
from rtd_adapters.io.checkpoints import read_checkpoint
from rtd_adapters.io.hub import local_first

TEXT_WIDTH, IMAGE_WIDTH = 512, 768
"""Where a config names none, as open_clip has it."""
SHOWN_WIDTH = 160
"""Characters of each line that says what did not fit."""


def load_open_clip(
    name: str, pretrained: str | None
) -> tuple[nn.Module, Callable[[Any], Tensor] | None]:
    """The model of an open_clip name or config JSON with its weights, and its image transform.

    There is no transform where a weights file holds a text tower alone: what the model has for an
    image tower is not filled then.

    Raises:
        BackboneError: the name or tag is unknown, or the weights do not fit.
        FileError: a local file is missing or damaged.
    """
    import open_clip

    name = known_name(name)
    if pretrained is None:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none"
        raise BackboneError(
            f"{name} needs --pretrained: a weights file or one of open_clip's tags ({tags})."
        )
    tag = open_clip.get_pretrained_cfg(name, pretrained)
    encoder_config(name)  # in words of ours, before open_clip asks for it
    pictures: dict[str, Any] = {}
    if not tag:
        checkpoint = _read_weights(name, pretrained)
        if _holds_text_only(checkpoint):
            return _with_text_tower(name, checkpoint, pretrained), None
        pictures = picture_settings(name, Path(pretrained))
    try:
        model, _, preprocess = open_clip.create_model_and_transforms(
            name,
            pretrained=pretrained,
            # A tag knows the activation its weights were trained with; a file does not, so there
            # the model name decides (ViT-L-14-quickgelu for OpenAI's weights).
            force_quick_gelu=bool(tag.get("quick_gelu")),
            **pictures,
        )
    except Exception as error:
        raise BackboneError(f"{name} with {pretrained} did not load: {_reason(error)}") from error
    return model, preprocess


def known_name(name: str) -> str:
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


def encoder_config(name: str) -> Any:
    """transformers' config of the text encoder that an open_clip model takes from it
    (`hf_model_name`); None where it has a text tower of its own.

    Raises:
        BackboneError: it is not there and cannot be fetched; what to do is said.
    """
    import open_clip
    from transformers import AutoConfig

    source = open_clip.get_model_config(name)["text_cfg"].get("hf_model_name")
    if not source:
        return None
    try:
        return local_first(
            lambda **where: AutoConfig.from_pretrained(source, trust_remote_code=False, **where)
        )
    except Exception as error:
        raise BackboneError(
            f"{name} has the text encoder of {source}, whose config.json is not in Hugging Face's "
            f"cache and cannot be fetched ({first_line(error)}). Download it from that repository "
            "into a folder, and name the folder as hf_model_name in a model-config JSON."
        ) from error


def _register_config(path: Path) -> str:
    import open_clip

    read_model_config(path)
    open_clip.add_model_config(path)
    return path.stem


def _read_weights(name: str, pretrained: str) -> Any:
    """Read a local weights file before open_clip does, whose words for a bad one are obscure."""
    import open_clip

    path = Path(pretrained)
    if not path.exists():
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none"
        raise BackboneError(
            f"{pretrained!r} is neither a file nor a weights tag of {name} (known tags: {tags})."
        )
    return read_checkpoint(path)


def _holds_text_only(checkpoint: Any) -> bool:
    """Whether a checkpoint has a text tower and nothing of an image tower."""
    if not isinstance(checkpoint, Mapping):
        return False
    inner = (value for value in checkpoint.values() if isinstance(value, Mapping))
    if any(re.search("visual|vision", str(name)) for part in (checkpoint, *inner) for name in part):
        return False
    return holds_tower(checkpoint)


def _with_text_tower(name: str, checkpoint: Mapping[str, Any], source: str) -> nn.Module:
    """The model of an open_clip name with a text tower in any layout; its images mean nothing."""
    import open_clip

    try:
        model = open_clip.create_model(name, pretrained=None, pretrained_hf=False)
        live = find_tower(model)
        _, tower = from_layout(checkpoint, live.config)
        tensors = to_layout(tower, live.layout)
        model.load_state_dict(tensors, strict=False)
    except Exception as error:
        raise BackboneError(f"{name} with {source} did not load: {_reason(error)}") from error
    return model


def _reason(error: Exception) -> str:
    """What a library's exception says, with the first keys where a state dict did not fit."""
    first, *details = str(error).strip().splitlines() or [first_line(error)]
    shown = (shorten(line, SHOWN_WIDTH, placeholder=" ...") for line in details[:2])
    return " ".join([first, *shown]) if first.endswith(":") else first


def open_clip_shape(name: str) -> BackboneShape:
    """The sizes of an open_clip model or config JSON.

    Raises:
        BackboneError: the name is unknown.
        FileError: the JSON is missing or damaged, or its sizes are absurd.
    """
    import open_clip

    name = known_name(name)
    encoder = encoder_config(name)
    width = None if encoder is None else encoder.hidden_size
    return config_shape(open_clip.get_model_config(name), width)


def config_shape(config: dict[str, Any], encoder_width: int | None = None) -> BackboneShape:
    """Sizes from an open_clip model config.

    Args:
        config: the model config.
        encoder_width: of a text encoder of transformers, which stands in a config of its own.
    """
    vision = config["vision_cfg"]
    text_width = encoder_width or config["text_cfg"].get("width", TEXT_WIDTH)
    # Only where a picture's first state becomes its embedding does rtd know the states.
    pooled = vision.get("attentional_pool") or vision.get("pool_type", "tok") != "tok"
    if vision.get("timm_model_name") or pooled:
        return BackboneShape(config["embed_dim"], text_width, 0)
    # A list of layers marks a ResNet, whose attention pool gives states in the joint space.
    pools = isinstance(vision.get("layers"), list)
    states = config["embed_dim"] if pools else vision.get("width", IMAGE_WIDTH)
    return BackboneShape(config["embed_dim"], text_width, states)
