"""The built-in world's CLIPs as data: their names, their image towers, where their weights lie.

Imports no torch, so that the plugin may import it. docs/world.md says how the towers were chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

WEIGHTS = Path(__file__).parent / "weights"
VOCABULARY = 49408
CONTEXT = 40
PICTURE = 64
"""Pixels of a side."""


@dataclass(frozen=True)
class DemoClip:
    """One of the built-in world's CLIPs: an image tower over the text tower that all share."""

    name: str
    """The backbone's name."""
    summary: str
    """One line for `rtd plugins`."""
    folder: Path
    """Where its weights and its projections lie."""
    vision: dict[str, Any]
    """The image tower, as open_clip's `vision_cfg` has it."""
    moved: bool = False
    """Whether the texts are moved, by construction, until the modality gap is CLIP's own."""

    @property
    def config(self) -> dict[str, Any]:
        """The model config of open_clip."""
        text = {
            "context_length": CONTEXT,
            "vocab_size": VOCABULARY,
            "width": 128,
            "heads": 4,
            "layers": 3,
        }
        vision = {"image_size": PICTURE, **self.vision}
        return {"embed_dim": 128, "vision_cfg": vision, "text_cfg": text}

    @property
    def weights(self) -> Path:
        """The compact checkpoint."""
        return self.folder / "clip.safetensors"


VIT = DemoClip(
    "demo",
    "the built-in miniature world: two million parameters, works offline",
    WEIGHTS / "vit",
    {"patch_size": 8, "layers": 3, "width": 160, "head_width": 32},
)
GAP = replace(
    VIT,
    name="demo-gap",
    summary="the same with its texts moved away from the pictures, as far as CLIP's are",
    moved=True,
)
RESNET = DemoClip(
    "demo-resnet",
    "the same with a ResNet as image tower, without states that a method could read",
    WEIGHTS / "resnet",
    {"layers": [1, 1, 1, 1], "width": 16, "head_width": 32},
)
CLIPS = (VIT, GAP, RESNET)
