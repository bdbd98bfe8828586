"""The one way in which JSON from outside is read, bounded and never a crash; and written, whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rtd_adapters.errors import FileError, first_line
from rtd_adapters.io.atomic import whole_file
from rtd_adapters.io.bounded import read_bounded

LARGEST = 1 << 30
"""Bytes of a JSON file; the largest benchmark's annotations are a tenth of it."""


def read_json(path: Path, *, largest: int = LARGEST) -> Any:
    """What a JSON file holds.

    Raises:
        FileError: it is missing, too large, no regular file, or no JSON.
    """
    return parse_json(read_bounded(path, largest), str(path))


def write_json(path: Path, value: Any) -> None:
    """Write plain values for people to read too, whole or not at all.

    Raises:
        FileError: the disk refuses.
    """
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1), encoding="utf-8")


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
