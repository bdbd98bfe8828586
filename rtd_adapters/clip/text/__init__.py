"""The text side: towers, tensor layouts, tokenizer, captions."""

from __future__ import annotations

from rtd_adapters.clip.text.build import tower_from_model, tower_from_state_dict
from rtd_adapters.clip.text.captions import clean_caption, clean_conditioning
from rtd_adapters.clip.text.config import TowerConfig
from rtd_adapters.clip.text.families import LAYOUTS
from rtd_adapters.clip.text.fingerprint import fingerprint, same_tower, tower_identity
from rtd_adapters.clip.text.interpolation import interpolate, require_strength
from rtd_adapters.clip.text.layout import Layout
from rtd_adapters.clip.text.layouts import (
    config_from_state,
    detect_layout,
    from_layout,
    get_layout,
    holds_tower,
    to_layout,
)
from rtd_adapters.clip.text.recognition import LiveTower, find_tower, unwrapped
from rtd_adapters.clip.text.tokenizer import Tokenizer
from rtd_adapters.clip.text.tower import TextTower
from rtd_adapters.clip.text.vocabulary import CLIP_BPE, Vocabulary

__all__ = [
    "CLIP_BPE",
    "LAYOUTS",
    "Layout",
    "LiveTower",
    "TextTower",
    "Tokenizer",
    "TowerConfig",
    "Vocabulary",
    "clean_caption",
    "clean_conditioning",
    "config_from_state",
    "detect_layout",
    "find_tower",
    "fingerprint",
    "from_layout",
    "get_layout",
    "holds_tower",
    "interpolate",
    "require_strength",
    "same_tower",
    "to_layout",
    "tower_from_model",
    "tower_from_state_dict",
    "tower_identity",
    "unwrapped",
]
