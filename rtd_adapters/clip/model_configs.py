"""open_clip's model-config JSON, checked before open_clip builds what it says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtd_adapters.errors import FileError
from rtd_adapters.io.json_files import read_json

PARTS = ("vision_cfg", "text_cfg")
LARGEST = {
    "embed_dim": 1 << 16,
    "width": 1 << 16,
    "head_width": 1 << 16,
    "heads": 1 << 12,
    "layers": 1 << 10,
    "vocab_size": 1 << 24,
    "context_length": 1 << 16,
    "image_size": 1 << 14,
    "patch_size": 1 << 14,
}
"""Of the whole numbers in a config; several times those of the largest CLIP there is."""
LARGEST_RATIO = 64
"""Of an MLP's width to its tower's."""
LARGEST_TOWER = 20_000_000_000
"""Parameters; EVA02-E, the largest that open_clip has, counts five thousand million."""
ONE_FOR_EACH = ("layers", "image_size", "patch_size")
"""May be lists: a ResNet's stages, a picture's height and width."""
BLOCK = 4
"""Square matrices of an attention; an MLP has two of `mlp_ratio` times as many rows."""


def read_model_config(path: Path) -> dict[str, Any]:
    """A model config of open_clip, with sizes that a machine can hold.

    Raises:
        FileError: it is missing, no JSON, no model config, or a size in it is of the wrong type or
            absurd; which one is named.
    """
    config = read_json(path)
    if not isinstance(config, dict):
        raise FileError(f"{path} is no open_clip model config: it holds no object.")
    absent = [key for key in ("embed_dim", *PARTS) if key not in config]
    if absent:
        raise FileError(f"{path} is no open_clip model config: it lacks {', '.join(absent)}.")
    _require_sizes(config, path, "")
    for part in PARTS:
        if not isinstance(config[part], dict):
            raise FileError(f"{path} is no open_clip model config: its {part} is no object.")
        _require_sizes(config[part], path, f"{part}.")
        _require_small_enough(config[part], path, part)
    return config


def _require_sizes(values: Mapping[str, Any], path: Path, where: str) -> None:
    for key, largest in LARGEST.items():
        value = values.get(key, 1)
        if key == "patch_size" and value is None:
            continue  # a ResNet's, which has no patches
        listed = key in ONE_FOR_EACH and isinstance(value, list) and 1 < len(value) < 5
        for size in value if listed else [value]:
            if type(size) is not int or not 1 <= size <= largest:
                raise FileError(
                    f"{path}: {where}{key} is {str(value)[:40]}; it must be a whole number from 1 "
                    f"to {largest:,}. Correct the model config."
                )
    ratio = values.get("mlp_ratio", 4.0)
    if type(ratio) not in (int, float) or not 0 < ratio <= LARGEST_RATIO:
        raise FileError(
            f"{path}: {where}mlp_ratio is {str(ratio)[:40]}; it must be a number above 0 and at "
            f"most {LARGEST_RATIO}. Correct the model config."
        )


def _require_small_enough(values: Mapping[str, Any], path: Path, part: str) -> None:
    width, layers = values.get("width", 1), values.get("layers", 1)
    blocks = sum(layers) if isinstance(layers, list) else layers
    matrices = BLOCK + 2 * values.get("mlp_ratio", 4.0)
    size = math.ceil(blocks * matrices * width**2) + values.get("vocab_size", 0) * width
    if size > LARGEST_TOWER:
        raise FileError(
            f"{path}: {part} asks for a tower of {size:,} parameters or more; rtd builds up to "
            f"{LARGEST_TOWER:,}. Correct its width or layers."
        )
