"""Annotation files of benchmarks: every fault is named with the file and the entry it is in."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from rtd_adapters.errors import FileError, first_line
from rtd_adapters.io.entries import Entry, kind, numbered
from rtd_adapters.io.json_files import read_json

SHOWN = 5
REMEDY = "Fetch the annotations again."
LONGEST_NAME, LONGEST_PATH = 240, 1000
"""Bytes; file systems take 255 of a name, and an ending may come."""
LONGEST_NUMBER = 18
"""Digits of a picture's number."""


def read_entries(path: Path) -> list[Entry]:
    """The entries of a JSON list, counted from 0 as the benchmarks count them.

    Raises:
        FileError: it is no list, or an empty one.
    """
    return numbered(str(path), _read_list(path), REMEDY)


def read_object(path: Path) -> Entry:
    """A JSON object.

    Raises:
        FileError: the file is missing or damaged.
    """
    return Entry(str(path), read_json(path), REMEDY)


def read_names(path: Path) -> tuple[str, ...]:
    """A JSON list of texts.

    Raises:
        FileError: it is no list, an empty one, or holds something else.
    """
    return Entry(str(path), {"names": _read_list(path)}, REMEDY).texts("names")


def read_rows(path: Path, delimiter: str, *, quoted: bool = False) -> list[tuple[str, list[str]]]:
    """The first three cells of each line, after the line's place for messages.

    Args:
        path: a text file without a header.
        delimiter: between cells.
        quoted: whether a cell may stand in quotes, with the delimiter in it.

    Raises:
        FileError: the file cannot be read or is empty, or a line has fewer cells.
    """
    rows = []
    try:
        with path.open(encoding="utf-8") as file:
            reader = csv.reader(
                (line.strip() for line in file),
                delimiter=delimiter,
                quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
            )
            for cells in reader:
                rows.append((f"{path}, line {reader.line_num}", cells[:3]))
    except (OSError, ValueError, csv.Error) as error:
        raise FileError(f"{path} cannot be read: {first_line(error)}. {REMEDY}") from error
    if not rows:
        raise FileError(f"{path} is empty. {REMEDY}")
    for place, cells in rows:
        if len(cells) < 3:
            raise FileError(f"{place}: it has {len(cells)} cells, where three belong. {REMEDY}")
    return rows


def inside(root: Path, name: str, place: str) -> Path:
    """The file of a relative path that an annotation names, below a folder.

    Symbolic links below the folder may lead wherever their owner wants.

    Args:
        root: the folder.
        name: the path.
        place: file and entry that names it, for the message.

    Raises:
        FileError: the path leads out of the folder, or can be no path.
    """
    path = PurePosixPath(name)
    out = path.is_absolute() or ".." in path.parts or not path.parts
    long = any(len(part.encode()) > LONGEST_NAME for part in path.parts)
    if out or long or len(name.encode()) > LONGEST_PATH or "\0" in name:
        raise FileError(
            f"{place} names {name[:200]!r}, which is no path within the data folder. "
            "Fetch the annotations again."
        )
    return root / path


def picture_number(entry: Entry, name: str, number: str) -> str:
    """A picture's number, by which its file is named.

    Args:
        entry: that names the picture.
        name: of the field, for the message.
        number: as it stands there.

    Raises:
        FileError: it is none.
    """
    if not (number.isascii() and number.isdecimal() and len(number) <= LONGEST_NUMBER):
        entry.refuse(f"{name!r} is {number[:40]!r}, no picture's number")
    return number


def require_known(asked: Iterable[str], known: Iterable[str], what: str) -> None:
    """Check that ids are among those that are known.

    Raises:
        FileError: some are not; `what` says what they are, and the first few are named.
    """
    if unknown := list(dict.fromkeys(asked).keys() - set(known)):
        raise FileError(
            f"{what} {listed(sorted(unknown))}. "
            "Fetch the annotations again; they do not belong together."
        )


def require_distinct(ids: Iterable[str], what: str) -> None:
    """Check that no id is there twice.

    Raises:
        FileError: some are; `what` says what they are, and the first few are named.
    """
    twice = [image for image, count in Counter(ids).items() if count > 1]
    if twice:
        raise FileError(f"{what} {listed(sorted(twice))}. Fetch the annotations again.")


def listed(ids: list[str]) -> str:
    """The first few of the ids, and how many more there are."""
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return ", ".join(image[:80] for image in ids[:SHOWN]) + more


def _read_list(path: Path) -> list[Any]:
    values = read_json(path)
    if not isinstance(values, list) or not values:
        raise FileError(
            f"{path} holds {kind(values)}, where a list of entries belongs. "
            "Fetch the annotations again."
        )
    return values
