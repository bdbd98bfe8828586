"""Which of open_clip's models some tensors fit, by their shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Shapes = Mapping[str, Sequence[int]]

TIMM = "visual.trunk."
"""What the names of an image tower of timm's begin with."""

BLOCK = re.compile(r"resblocks\.(\d+)\.ln_1\.weight")
STAGE = re.compile(r"visual\.layer(\d)\.(\d+)\.conv1\.weight")
STEM_SHARE, SHRINKS = 2, 32
"""Of CLIP's ResNets: width over the first layer's channels, and how much smaller the last map is
than the picture."""


def fitting_models(shapes: Shapes) -> list[str]:
    """Names of the open_clip models with these widths, depths, patches and picture sizes.

    Activations stand in no tensor: models that differ by them alone are all named.

    Args:
        shapes: name -> shape of the tensors of a whole CLIP, as OpenAI or open_clip name them.
    """
    import open_clip

    plain = {name.removeprefix("module."): shape for name, shape in shapes.items()}
    sizes = {**_text_sizes(plain), **_image_sizes(plain)}
    if None in sizes.values() or not sizes.get("image layers"):
        return []
    configs = {name: open_clip.get_model_config(name) for name in open_clip.list_models()}
    return sorted(name for name, config in configs.items() if _sizes(config) == sizes)


def same_text_towers(shapes: Shapes) -> list[str]:
    """Names of the open_clip models with this text tower and an image tower of timm's, whose sizes
    stand in no config.

    Args:
        shapes: as in `fitting_models`.
    """
    import open_clip

    plain = {name.removeprefix("module."): shape for name, shape in shapes.items()}
    sizes = _text_sizes(plain)
    if None in sizes.values() or not any(name.startswith(TIMM) for name in plain):
        return []
    configs = {name: open_clip.get_model_config(name) for name in open_clip.list_models()}
    return sorted(
        name
        for name, config in configs.items()
        if "timm_model_name" in config["vision_cfg"]
        and "hf_model_name" not in config["text_cfg"]
        and _configured_text(config) == sizes
    )


def _text_sizes(shapes: Shapes) -> dict[str, Any]:
    prefix = "text." if "text.token_embedding.weight" in shapes else ""
    vocabulary, width = _shape(shapes, f"{prefix}token_embedding.weight", 2)
    return {
        "vocabulary": vocabulary,
        "text width": width,
        "text layers": _depth(shapes, f"{prefix}transformer."),
        "context": _shape(shapes, f"{prefix}positional_embedding", 2)[0],
        "embedding": _embedding(shapes, f"{prefix}text_projection") or width,
        "bias": f"{prefix}text_projection.bias" in shapes,
        "appended": f"{prefix}cls_emb" in shapes,
    }


def _embedding(shapes: Shapes, projection: str) -> int | None:
    """Width of the joint space; None where nothing is projected."""
    return _shape(shapes, projection, 2)[1] or _shape(shapes, f"{projection}.weight", 2)[0]


def _image_sizes(shapes: Shapes) -> dict[str, Any]:
    """Of a vision transformer or of one of CLIP's ResNets."""
    width, _, patch, _ = _shape(shapes, "visual.conv1.weight", 4)
    stages = [match for name in shapes if (match := STAGE.fullmatch(name))]
    if not stages:
        cells = _shape(shapes, "visual.positional_embedding", 2)[0]
        depth = _depth(shapes, "visual.transformer.")
        return _image(width, depth, patch, cells)
    depths = [len({m[2] for m in stages if m[1] == stage}) for stage in "1234"]
    cells = _shape(shapes, "visual.attnpool.positional_embedding", 2)[0]
    return _image(width and width * STEM_SHARE, depths, SHRINKS, cells)


def _sizes(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The same of a model config; None where a tower is of another kind."""
    text, vision = config["text_cfg"], config["vision_cfg"]
    size = vision.get("image_size", 224)
    if "hf_model_name" in text or "timm_model_name" in vision or not isinstance(size, int):
        return None
    layers = vision.get("layers", 12)
    patch = SHRINKS if isinstance(layers, list) else vision.get("patch_size", 16)
    return {
        **_configured_text(config),
        **_image(vision.get("width", 768), layers, patch, (size // patch) ** 2 + 1),
    }


def _configured_text(config: Mapping[str, Any]) -> dict[str, Any]:
    """What `_text_sizes` finds in the tensors of a model config's text tower."""
    text = config["text_cfg"]
    return {
        "vocabulary": text.get("vocab_size", 49408),
        "text width": text.get("width", 512),
        "text layers": text.get("layers", 12),
        "context": text.get("context_length", 77) + bool(text.get("embed_cls")),
        "embedding": config["embed_dim"],
        "bias": bool(text.get("proj_bias")) and text.get("proj_type") != "none",
        "appended": bool(text.get("embed_cls")),
    }


def _image(width: int | None, layers: Any, patch: int | None, cells: int | None) -> dict[str, Any]:
    return {"image width": width, "image layers": layers, "patch": patch, "cells": cells}


def _depth(shapes: Shapes, prefix: str) -> int:
    blocks = (name.removeprefix(prefix) for name in shapes if name.startswith(prefix))
    return len({match[1] for name in blocks if (match := BLOCK.fullmatch(name))})


def _shape(shapes: Shapes, name: str, dimensions: int) -> Sequence[int | None]:
    shape = shapes.get(name, ())
    return shape if len(shape) == dimensions else (None,) * dimensions
