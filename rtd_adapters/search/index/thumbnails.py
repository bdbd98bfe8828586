"""Small pictures for a page of results."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 256
"""Longest side, in pixels."""
QUALITY = 85


def thumbnail(picture: Image) -> bytes:
    """A picture in RGB as a JPEG whose longest side has 256 pixels at most."""
    small = picture.copy()
    small.thumbnail((SIDE, SIDE), reducing_gap=2.0)
    # Colours of a tiny picture would run into each other at half the resolution.
    subsampling = 0 if max(picture.size) <= SIDE else 2
    file = io.BytesIO()
    small.save(file, "JPEG", quality=QUALITY, subsampling=subsampling)
    return file.getvalue()
