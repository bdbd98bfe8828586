"""Pictures from outside: bounded before they are decoded, and remembered once they were seen."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from rtd_adapters.errors import FileError, RtdError
from rtd_adapters.io.pictures import upright_picture
from rtd_adapters.search.seen import Seen

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_BYTES = 32 << 20
REMEMBERED = 64
"""Pictures whose embeddings are remembered."""


class UploadError(RtdError):
    """What was sent is no picture that the server takes."""


def decoded(data: bytes) -> Image:
    """A picture in RGB, upright; of an animation, the first frame.

    Raises:
        UploadError: it is too large, too narrow, or no picture.
    """
    try:
        return upright_picture(io.BytesIO(data), "what was sent")
    except FileError as error:
        raise UploadError(f"{error} Send a JPEG, PNG or WebP of moderate size.") from error


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
