"""How pictures are prepared for the weights in a file.

open_clip knows that of its tags only. For a file it prepares pictures as OpenAI's CLIP wants them,
which for a SigLIP, a CLIPA or a PE-Core are other pictures, and says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtd_adapters.io.json_files import read_json

CONFIG = "open_clip_config.json"
"""Stands beside the weights in repositories for open_clip."""
LARGEST = 1 << 20
"""Bytes of it."""
SETTINGS = ("mean", "std", "interpolation", "resize_mode")


def picture_settings(name: str, weights: Path) -> dict[str, Any]:
    """Arguments of open_clip's `create_model_and_transforms` for a weights file.

    `open_clip_config.json` beside the file decides; else the tags of that model, where all are
    prepared for alike. Nothing is given where they are not, and open_clip's own way remains.

    Args:
        name: as open_clip knows the model.
        weights: the file.

    Raises:
        FileError: the config beside the file is damaged.
    """
    found = _beside(weights.resolve().parent / CONFIG) or _common(name)
    return {f"image_{key}": found[key] for key in SETTINGS if found.get(key) is not None}


def _beside(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    config = read_json(path, largest=LARGEST)
    found = config.get("preprocess_cfg") if isinstance(config, dict) else None
    return found if isinstance(found, dict) else {}


def _common(name: str) -> Mapping[str, Any]:
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(name)
    ways = [open_clip.get_pretrained_cfg(name, tag) for tag in tags]
    alike = all(way.get(key) == ways[0].get(key) for way in ways for key in SETTINGS)
    return ways[0] if ways and alike else {}
