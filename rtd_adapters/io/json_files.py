"""The one way in which JSON from outside is read: bounded, and never a crash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rtd_adapters.errors import FileError, first_line

LARGEST = 1 << 30
"""Bytes of a JSON file; the largest benchmark's annotations are a tenth of it."""


def read_json(path: Path, *, largest: int = LARGEST) -> Any:
    """What a JSON file holds.

    Raises:
        FileError: it is missing, too large, no regular file, or no JSON.
    """
    try:
        if not path.is_file():
            raise FileError(f"{path} is missing or no file. Check the path.")
        size = path.stat().st_size
        if size > largest:
            raise FileError(f"{path} has {size:,} bytes, more than rtd reads ({largest:,}).")
        return parse_json(path.read_bytes(), str(path))
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}. Check the path.") from error


def parse_json(text: str | bytes, source: str) -> Any:
    """What a JSON text holds.

    Numbers of thousands of digits, nesting of thousands of levels and text that is no UTF-8 are
    refused like any other damage: Python's own reader fails on each in a way of its own.

    Raises:
        FileError: it is no JSON; `source` is named.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(
            f"{source} is not valid JSON ({first_line(error)}). Fetch or write it again."
        ) from error
