"""Pictures from outside: bounded in bytes, pixels and shape before anything of them is decoded."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from rtd_adapters.errors import RtdError
from rtd_adapters.search.encoder import Seen

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_BYTES = 32 << 20
MOST_PIXELS = 64_000_000
MOST_RATIO = 50
"""Of the longer side to the shorter one. Image transforms scale by the shorter side: a line of
60,000 pixels would become three thousand million."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""What is decoded; every decoder more is one more to attack."""
REMEMBERED = 64
"""Pictures whose embeddings are remembered."""


class UploadError(RtdError):
    """What was sent is no picture that the server takes."""


def decoded(data: bytes) -> Image:
    """A picture in RGB; of an animation, the first frame.

    Raises:
        UploadError: it is too large, too narrow, or no picture.
    """
    from PIL import Image as images

    try:
        with images.open(io.BytesIO(data), formats=FORMATS) as picture:
            _require_moderate(*picture.size)
            return picture.convert("RGB")
    except UploadError:
        raise
    except images.DecompressionBombError as error:
        raise UploadError(f"the picture has more than {MOST_PIXELS:,} pixels.") from error
    except Exception as error:  # decoders raise whatever broken files make them stumble over
        raise UploadError(
            f"what was sent is no picture that can be read. Send one of {', '.join(FORMATS)}."
        ) from error


def _require_moderate(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise UploadError(
            f"the picture has {width} x {height} pixels, more than {MOST_PIXELS:,}. Make it "
            "smaller; no image tower looks at so many."
        )
    if max(width, height) > MOST_RATIO * min(width, height):
        raise UploadError(
            f"the picture is {width} x {height}: one side is more than {MOST_RATIO} times the "
            "other. Cut out what is to be searched for."
        )


class Remembered:
    """The last pictures that were sent, as the image tower saw them.

    Who moves a slider sends the same picture again and again; it is neither decoded nor embedded
    twice.
    """

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most = most
        self._seen: OrderedDict[str, Seen] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> Seen | None:
        """What was kept under a key, if it still is."""
        with self._lock:
            if key not in self._seen:
                return None
            self._seen.move_to_end(key)
            return self._seen[key]

    def keep(self, key: str, seen: Seen) -> None:
        """Keep a picture; the one that was not asked for longest goes."""
        with self._lock:
            self._seen[key] = seen
            self._seen.move_to_end(key)
            while len(self._seen) > self._most:
                self._seen.popitem(last=False)


def key_of(data: bytes) -> str:
    """What a picture is remembered by: its file's content."""
    return hashlib.sha256(data).hexdigest()
