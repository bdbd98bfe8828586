"""The one way in which a file of somebody else's is taken into memory whole."""

from __future__ import annotations

from pathlib import Path

from rtd_adapters.errors import FileError


def read_bounded(path: Path, largest: int) -> bytes:
    """The bytes of a file that is no larger than `largest`.

    Raises:
        FileError: it is missing, too large, no regular file, or cannot be read.
    """
    try:
        if not path.is_file():
            raise FileError(f"{path} is missing or no file. Check the path.")
        size = path.stat().st_size
        if size > largest:
            raise FileError(f"{path} has {size:,} bytes, more than rtd reads ({largest:,}).")
        return path.read_bytes()
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}. Check the path.") from error
