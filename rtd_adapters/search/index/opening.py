"""A picture of anybody's, opened with care: an index and a server take whatever they are given."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING

from rtd_adapters.errors import FileError, first_line

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""What is tried, whatever a file is called: other readers of Pillow run other programs."""
MOST_PIXELS = 100_000_000
NARROWEST = 100
"""How many times one side may be the other. An image tower's transform makes the shorter side as
long as its input's, so that a picture of 1 x 60,000 pixels would take ten gigabytes."""


def opened(source: Path | IO[bytes], name: str) -> Image:
    """A picture in RGB, upright as its EXIF orientation has it.

    Args:
        source: its file, or the open bytes of one.
        name: of the picture, for messages.

    Raises:
        FileError: it is missing, damaged, no picture, or larger or narrower than any is.
    """
    from PIL import Image, ImageOps

    Image.init()  # or Pillow knows no formats but the commonest
    try:
        with Image.open(source, formats=FORMATS) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise ValueError(f"{width} x {height} pixels are more than rtd opens")
            if max(width, height) > NARROWEST * min(width, height):
                raise ValueError(f"{width} x {height} pixels are too narrow for a picture")
            return ImageOps.exif_transpose(image).convert("RGB")
    except Exception as error:  # each of Pillow's readers fails in ways of its own
        raise FileError(f"{name} cannot be read as a picture ({first_line(error)}).") from error
