"""Pictures of anybody's, opened with care: they come from downloads, folders and uploads."""

from __future__ import annotations

from collections.abc import Callable
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


def stored_picture(source: Path | IO[bytes], name: str) -> Image:
    """A picture in RGB as its file has it, whatever its EXIF orientation says; benchmarks are
    evaluated so.

    Args:
        source: its file, or the open bytes of one.
        name: of the picture, for messages.

    Raises:
        FileError: it is missing, damaged, no picture, or larger or narrower than any is.
    """
    return _opened(source, name, lambda image: image.convert("RGB"))


def upright_picture(source: Path | IO[bytes], name: str) -> Image:
    """The same, upright as its EXIF orientation has it; photographs are looked at so.

    Args:
        source: its file, or the open bytes of one.
        name: of the picture, for messages.

    Raises:
        FileError: as `stored_picture`.
    """
    from PIL import ImageOps

    return _opened(source, name, lambda image: ImageOps.exif_transpose(image).convert("RGB"))


def _opened(source: Path | IO[bytes], name: str, decoded: Callable[[Image], Image]) -> Image:
    from PIL import Image

    Image.init()  # or Pillow knows no formats but the commonest
    try:
        with Image.open(source, formats=FORMATS) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise ValueError(f"{width} x {height} pixels are more than rtd opens")
            if max(width, height) > NARROWEST * min(width, height):
                raise ValueError(f"{width} x {height} pixels are too narrow for a picture")
            return decoded(image)
    except Exception as error:  # each of Pillow's readers fails in ways of its own
        raise FileError(f"{name} cannot be read as a picture ({first_line(error)}).") from error
