"""The hash by which files are told apart."""

from __future__ import annotations

import hashlib
from pathlib import Path

from rtd_adapters.errors import FileError

BLOCK = 1 << 20


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, in hexadecimal; memory does not grow with the file.

    Raises:
        FileError: it cannot be read.
    """
    digest = hashlib.sha256()
    add_file(digest, path)
    return digest.hexdigest()


def add_file(digest: hashlib._Hash, path: Path, start: int = 0) -> None:
    """Add a file's bytes from some place on to what a hash is taken of.

    Raises:
        FileError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(start)
            while block := stream.read(BLOCK):
                digest.update(block)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}. Check the path.") from error
