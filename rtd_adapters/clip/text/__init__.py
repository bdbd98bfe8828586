"""CLIP's text side: towers, tensor layouts, tokenizer, captions."""

from __future__ import annotations

from rtd_adapters.clip.text.build import tower_from_model, tower_from_state_dict
from rtd_adapters.clip.text.captions import clean_caption, clean_conditioning
from rtd_adapters.clip.text.config import TowerConfig
from rtd_adapters.clip.text.fingerprint import fingerprint, same_tower
from rtd_adapters.clip.text.interpolation import interpolate, require_strength
from rtd_adapters.clip.text.layouts import (
    LAYOUTS,
    config_from_state,
    detect_layout,
    from_layout,
    hf_module_name,
    to_layout,
)
from rtd_adapters.clip.text.recognition import LiveTower, find_tower, unwrapped
from rtd_adapters.clip.text.tokenizer import Tokenizer
from rtd_adapters.clip.text.tower import TextTower

__all__ = [
    "LAYOUTS",
    "LiveTower",
    "TextTower",
    "Tokenizer",
    "TowerConfig",
    "clean_caption",
    "clean_conditioning",
    "config_from_state",
    "detect_layout",
    "find_tower",
    "fingerprint",
    "from_layout",
    "hf_module_name",
    "interpolate",
    "require_strength",
    "same_tower",
    "to_layout",
    "tower_from_model",
    "tower_from_state_dict",
    "unwrapped",
]
