"""Reads triplets from the official JSON file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rtd_adapters.errors import FileError, TripletError
from rtd_adapters.triplets.records import Triplet, TripletSet

KEYS = ("reference_caption", "conditioning_caption", "target_caption")
SHOWN = 60

Place = str


def read_triplets(path: str | Path) -> TripletSet:
    """Read the official format: a JSON list of objects, or one JSON object a line.

    Every object has the keys reference_caption, conditioning_caption and target_caption, each a
    string that is not empty; further keys are ignored.

    Raises:
        FileError: the file is missing or cannot be read.
        TripletError: it is not of that form; the message names the line or the entry.
    """
    path = Path(path)
    content = _content(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise TripletError(f"{path}, line {line}: not UTF-8. Save the file as UTF-8.") from error
    triplets = tuple(_triplet(value, f"{path}, {place}") for place, value in _values(path, text))
    if not triplets:
        raise TripletError(f"{path} holds no triplets.")
    return TripletSet(triplets, path.name, hashlib.sha256(content).hexdigest())


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}. Check --triplets.") from error
    if not content.strip():
        raise TripletError(f"{path} is empty.")
    return content


def _values(path: Path, text: str) -> Iterator[tuple[Place, Any]]:
    """Entries with their places: a list's if the whole file is one, otherwise the lines'."""
    if not text.lstrip().startswith("["):
        yield from _lines(path, text)
        return
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        place = f"{path}, line {error.lineno}"
        raise TripletError(f"{place}: {error.msg}. Mend the JSON there.") from error
    for number, entry in enumerate(entries, start=1):
        yield f"entry {number}", entry


def _lines(path: Path, text: str) -> Iterator[tuple[Place, Any]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            yield f"line {number}", json.loads(line)
        except json.JSONDecodeError as error:
            raise TripletError(
                f"{path}, line {number}: {error.msg} in {line[:SHOWN]!r}. The file must be a JSON "
                "list, or one JSON object a line."
            ) from error


def _triplet(value: Any, place: Place) -> Triplet:
    if not isinstance(value, dict):
        found = type(value).__name__
        raise TripletError(f"{place}: a {found}, not an object with {_listed(KEYS)}.")
    missing = [key for key in KEYS if key not in value]
    if missing:
        raise TripletError(f"{place}: no {_listed(missing)}; it has {_listed(value) or 'nothing'}.")
    for key in KEYS:
        _require_text(value[key], key, place)
    return Triplet(*(value[key] for key in KEYS))


def _require_text(text: Any, key: str, place: Place) -> None:
    if isinstance(text, list | dict):
        raise TripletError(
            f"{place}: {key} is a {type(text).__name__}. The file looks like columns; write one "
            "object a triplet (pandas: orient='records')."
        )
    if not isinstance(text, str):
        raise TripletError(f"{place}: {key} is {text!r}, not a string.")
    if not text.strip():
        raise TripletError(f"{place}: {key} is empty. Fill it in or take the triplet out.")


def _listed(names: Any) -> str:
    return ", ".join(map(str, names))
