"""The sizes of a backbone. Imports no torch, so that plugins may import it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BackboneShape:
    """The sizes of a backbone that a projection must fit."""

    embed_dim: int
    """Width of the joint image-text space."""
    text_width: int
    """Width of the text tower, and so of a pseudo token."""
    image_width: int
    """Width of the image tower's states, the patches' included; 0 where rtd does not know them."""
