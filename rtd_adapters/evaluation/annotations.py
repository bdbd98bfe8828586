"""Annotation files of benchmarks: every fault is named with the file and the entry it is in."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from rtd_adapters.errors import FileError
from rtd_adapters.io.json_files import read_json

SHOWN = 5
KINDS = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
LONGEST_NAME, LONGEST_PATH = 240, 1000
"""Bytes; file systems take 255 of a name, and an ending may come."""
LARGEST_NUMBER = 1e9


@dataclass(frozen=True)
class Entry:
    """One annotation, whose fields are asked for by name and kind.

    Every method raises FileError where the field is missing or of another kind.
    """

    place: str
    """File and entry, for messages."""
    value: Any
    """As it was read."""

    def __contains__(self, name: str) -> bool:
        return self._fields.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        return (self._text("a name", name) for name in self._fields)

    def text(self, name: str) -> str:
        """A text that can be written and shown."""
        return self._text(name, self._field(name))

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of such texts."""
        return tuple(self._text(name, value) for value in self._list(name))

    def identity(self, name: str) -> str:
        """A text or a whole number, as text."""
        return self._identity(name, self._field(name))

    def identities(self, name: str) -> tuple[str, ...]:
        """A list of such."""
        return tuple(self._identity(name, value) for value in self._list(name))

    def numbers(self, name: str) -> list[float]:
        """A list of finite numbers."""
        return [self._number(name, value) for value in self._list(name)]

    def entry(self, name: str) -> Entry:
        """An object."""
        return Entry(f"{self.place}, {name!r}", self._field(name))

    def entries(self, name: str) -> list[Entry]:
        """A list of objects."""
        return _numbered(f"{self.place}, {name!r}", self._list(name))

    def refuse(self, why: str) -> NoReturn:
        """Raise the FileError of this entry."""
        raise FileError(f"{self.place}: {why}. Fetch the annotations again.")

    @property
    def _fields(self) -> Mapping[str, Any]:
        if not isinstance(self.value, dict):
            self.refuse(f"it is {_kind(self.value)}, where an object belongs")
        return self.value

    def _field(self, name: str) -> Any:
        if name not in self._fields:
            self.refuse(f"{name!r} is missing")
        return self._fields[name]

    def _list(self, name: str) -> list[Any]:
        value = self._field(name)
        if not isinstance(value, list):
            self._refuse_kind(name, value, "a list")
        return value

    def _text(self, name: str, value: Any) -> str:
        if not isinstance(value, str):
            self._refuse_kind(name, value, "a text")
        if any("\ud800" <= sign <= "\udfff" for sign in value):
            self.refuse(f"{name!r} has half a character ({value[:40]!a})")
        return value

    def _identity(self, name: str, value: Any) -> str:
        if isinstance(value, str):
            return self._text(name, value)
        if not isinstance(value, int) or isinstance(value, bool):
            self._refuse_kind(name, value, "a text or a whole number")
        return str(value)

    def _number(self, name: str, value: Any) -> float:
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        if not numeric or not math.isfinite(value) or abs(value) > LARGEST_NUMBER:
            self._refuse_kind(name, value, "a list of finite numbers")
        return value

    def _refuse_kind(self, name: str, value: Any, wanted: str) -> NoReturn:
        self.refuse(f"{name!r} is {_kind(value)}, where {wanted} belongs")


def read_entries(path: Path) -> list[Entry]:
    """The entries of a JSON list, counted from 0 as the benchmarks count them.

    Raises:
        FileError: it is no list, or an empty one.
    """
    return _numbered(str(path), _read_list(path))


def read_names(path: Path) -> tuple[str, ...]:
    """A JSON list of texts.

    Raises:
        FileError: it is no list, an empty one, or holds something else.
    """
    return Entry(str(path), {"names": _read_list(path)}).texts("names")


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
    longest = max((len(part.encode()) for part in path.parts), default=0)
    if out or "\0" in name or longest > LONGEST_NAME or len(name.encode()) > LONGEST_PATH:
        raise FileError(
            f"{place} names {name[:200]!r}, which is no path within the data folder. "
            "Fetch the annotations again."
        )
    return root / path


def require_known(asked: Iterable[str], known: Iterable[str], what: str) -> None:
    """Check that ids are among those that are known.

    Raises:
        FileError: some are not; `what` says what they are, and the first few are named.
    """
    if unknown := list(dict.fromkeys(asked).keys() - set(known)):
        raise FileError(
            f"{what} {_listed(sorted(unknown))}. "
            "Fetch the annotations again; they do not belong together."
        )


def require_distinct(ids: Iterable[str], what: str) -> None:
    """Check that no id is there twice.

    Raises:
        FileError: some are; `what` says what they are, and the first few are named.
    """
    twice = [image for image, count in Counter(ids).items() if count > 1]
    if twice:
        raise FileError(f"{what} {_listed(sorted(twice))}. Fetch the annotations again.")


def _read_list(path: Path) -> list[Any]:
    values = read_json(path)
    if not isinstance(values, list) or not values:
        raise FileError(
            f"{path} holds {_kind(values)}, where a list of entries belongs. "
            "Fetch the annotations again."
        )
    return values


def _numbered(place: str, values: list[Any]) -> list[Entry]:
    return [Entry(f"{place}, entry {number}", value) for number, value in enumerate(values)]


def _kind(value: Any) -> str:
    if isinstance(value, dict | list) and not value:
        return "an empty object" if isinstance(value, dict) else "an empty list"
    return "null" if value is None else KINDS.get(type(value), "a number")


def _listed(ids: list[str]) -> str:
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return ", ".join(image[:80] for image in ids[:SHOWN]) + more
