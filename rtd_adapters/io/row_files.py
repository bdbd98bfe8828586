"""Rows of numbers in a file that may be larger than memory: written in parts, mapped, and hashed.

A safetensors file as the library writes it, with one fp32 tensor, and its hash in the metadata.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from rtd_adapters.errors import FileError
from rtd_adapters.io.atomic import whole_file
from rtd_adapters.io.checkpoints import read_header
from rtd_adapters.io.hashes import add_file

TENSOR, CONTENT = "embeddings", "sha256"
"""Names within a file: of the tensor, and of its hash."""
DTYPE = "<f4"


def write_rows(path: Path, shape: tuple[int, int], parts: Iterable[np.ndarray]) -> None:
    """Write [N, D] whole or not at all; of the parts, one at a time is in memory.

    Args:
        path: the file.
        shape: N and D.
        parts: [n, D] in fp32, N rows together, in their order.

    Raises:
        FileError: the disk refuses. What the parts raise is raised too.
    """
    digest = _digest(shape)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        file.write(_header(shape, digest.hexdigest()))
        for part in parts:
            content = _bytes(part)
            digest.update(content)
            file.write(content)
        file.seek(0)
        file.write(_header(shape, digest.hexdigest()))  # as long as the first


def map_rows(path: Path) -> np.ndarray:
    """[N, D] in fp32 as `write_rows` wrote them, read-only, mapped from the file.

    The file is read once, for its hash; memory does not grow with it.

    Raises:
        FileError: it is missing, cannot be read, or does not hold what was written.
    """
    tensors, metadata = read_header(path)
    dtype, shape = tensors.get(TENSOR, ("", []))
    if dtype == "F32" and len(shape) == 2:
        count, width = shape
        digest = _digest((count, width))
        try:
            start = path.stat().st_size - 4 * count * width  # the only tensor ends as the file does
            add_file(digest, path, start)
            # Of more than memory Linux refuses a map that could be written to, if only privately.
            rows = np.memmap(path, DTYPE, "r", start, (count, width))
        except OSError as error:
            raise FileError(f"{path} cannot be read: {error.strerror}. Check the path.") from error
        if metadata.get(CONTENT) == digest.hexdigest():
            return rows
    raise FileError(f"{path} does not hold what was written there. Check the disk.")


def _digest(shape: tuple[int, int]) -> hashlib._Hash:
    """sha256 of a tensor's form, which its bytes are added to."""
    return hashlib.sha256(f"torch.float32 {list(shape)}".encode())


def _bytes(rows: np.ndarray) -> memoryview:
    """Those of [N, D], which are copied only where they do not lie in order."""
    return np.ascontiguousarray(rows, DTYPE).reshape(-1).view(np.uint8).data


def _header(shape: tuple[int, int], content: str) -> bytes:
    end = 4 * shape[0] * shape[1]
    tensor = {"dtype": "F32", "shape": list(shape), "data_offsets": [0, end]}
    about = {"__metadata__": {CONTENT: content}, TENSOR: tensor}
    text = json.dumps(about, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
