"""Triplets that stay in their file: a row is read, parsed and checked when it is drawn."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtd_adapters.errors import FileError, TripletError, first_line
from rtd_adapters.triplets.columns import FIELDS, Columns, to_triplet
from rtd_adapters.triplets.formats import SHOWN, Row
from rtd_adapters.triplets.records import Triplet
from rtd_adapters.triplets.rows_by_place import TripletsByPlace

BLOCK = 1 << 20
CHECKED = 1000
"""Rows that are looked at when a file is opened: the first, the last, and some between."""


@dataclass(frozen=True)
class State:
    """What tells a file from another version of itself at once."""

    size: int
    changed: int
    """Nanoseconds since 1970."""

    @classmethod
    def of(cls, file: int | Path) -> State:
        """Of an open file, or a path.

        Raises:
            OSError: it cannot be asked.
        """
        found = os.stat(file)  # noqa: PTH116 (a descriptor may be asked too)
        return cls(found.st_size, found.st_mtime_ns)


class Bytes:
    """A file of which some bytes are read now and then, and which must stay what it is.

    Not mapped: pages that were touched once would count as this process's memory.

    Args:
        path: of the file.
        state: that it is in; whatever it is found in by default.

    Raises:
        FileError: it cannot be opened, or is not in that state.
    """

    def __init__(self, path: Path, state: State | None = None) -> None:
        self.path = path
        try:
            self._file = path.open("rb", buffering=0)
            self._state = state or State.of(self._file.fileno())
        except OSError as error:
            raise FileError(f"{path} cannot be read: {error.strerror}. Check the path.") from error
        self._require_unchanged()

    def read(self, start: int, end: int) -> bytes:
        """The bytes between two places.

        Raises:
            FileError: the file was changed, or the disk fails.
        """
        self._require_unchanged()
        try:
            return os.pread(self._file.fileno(), end - start, start)
        except OSError as error:
            raise FileError(f"{self.path} cannot be read: {error.strerror}.") from error

    def line(self, place: int) -> int:
        """The number of the line in which a place is, counted from 1."""
        blocks = range(0, place, BLOCK)
        return 1 + sum(self.read(s, min(s + BLOCK, place)).count(b"\n") for s in blocks)

    def _require_unchanged(self) -> None:
        if State.of(self._file.fileno()) != self._state:
            raise FileError(
                f"{self.path} was changed after it was opened. Leave it alone during a run, and "
                "start again."
            )


class IndexedTriplets(TripletsByPlace):
    """Triplets of one file, by their place in it. Another process gets its path, not its rows.

    A row that is no triplet is found when it is drawn (TripletError, with its line or number).
    """

    source: str
    """For messages."""
    sha256: str
    """Of the file's bytes."""
    again: Callable[[], IndexedTriplets]
    """Opens them once more."""

    def __reduce__(self) -> tuple[Callable[..., IndexedTriplets], tuple[()]]:
        """How they come to another process."""
        return self.again, ()

    def check_some(self) -> None:
        """Look at some rows, so that what is wrong with all of them is found at once.

        Raises:
            TripletError: one is no triplet.
        """
        for place in np.unique(np.linspace(0, len(self) - 1, CHECKED).astype(int)).tolist():
            self[place]


class TextTriplets(IndexedTriplets):
    """Rows of JSON in a text.

    Args:
        text: the file, or what it holds uncompressed.
        places: [N + 1] as a scan found them.
        is_list: whether they are the signs between a list's entries, or the beginnings of lines.
        columns: names of the fields.
    """

    def __init__(
        self,
        text: Bytes,
        places: np.ndarray,
        is_list: bool,
        columns: Columns | None,
    ) -> None:
        self._text, self._places, self._is_list = text, places, is_list
        self._columns = columns

    def __len__(self) -> int:
        return len(self._places) - 1

    def _row(self, place: int) -> Triplet:
        start, end = int(self._places[place]), int(self._places[place + 1])
        start += self._is_list
        raw = self._text.read(start, end)
        if not self._is_list:
            raw = raw.partition(b"\n")[0]
        try:
            value = json.loads(raw.decode("utf-8-sig" if place == 0 else "utf-8"))
        except (ValueError, RecursionError) as error:
            raise TripletError(self._unreadable(error, raw, start)) from error
        try:
            return to_triplet(Row("", value), self._columns, self.source)
        except TripletError:
            where = f"entry {place + 1}" if self._is_list else f"line {self._text.line(start)}"
            return to_triplet(Row(where, value), self._columns, self.source)

    def _unreadable(self, error: Exception, raw: bytes, start: int) -> str:
        line = self._text.line(start)
        if isinstance(error, UnicodeDecodeError):
            line += raw.count(b"\n", 0, error.start)
            return f"{self.source}, line {line}: not UTF-8. Save the file as UTF-8."
        why = getattr(error, "msg", None) or first_line(error)
        if self._is_list:
            line += getattr(error, "lineno", 1) - 1
            return f"{self.source}, line {line}: {why}. Mend the JSON there."
        return (
            f"{self.source}, line {line}: {why} in {raw.decode()[:SHOWN]!r}. The file must be a "
            "JSON list, or one JSON object a line."
        )


class ColumnTriplets(IndexedTriplets):
    """Rows of three columns, each the texts one after another.

    Args:
        texts: of reference, conditioning and target.
        ends: [N] of each, where its texts end.
        names: of the columns, for messages.
    """

    def __init__(
        self,
        texts: Sequence[Bytes],
        ends: Sequence[np.ndarray],
        names: Sequence[str],
    ) -> None:
        self._texts, self._ends, self._names = texts, ends, names

    def __len__(self) -> int:
        return len(self._ends[0])

    def _row(self, place: int) -> Triplet:
        row = {}
        where = f"row {place + 1}"
        for name, text, ends in zip(self._names, self._texts, self._ends, strict=True):
            raw = text.read(int(ends[place - 1]) if place else 0, int(ends[place]))
            try:
                row[name] = raw.decode()
            except UnicodeDecodeError as error:
                raise TripletError(
                    f"{self.source}, {where}: {name} is not UTF-8. Write the file again."
                ) from error
        columns = dict(zip(FIELDS, self._names, strict=True))
        return to_triplet(Row(where, row), columns, self.source)
