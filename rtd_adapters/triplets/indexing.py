"""Fills an index: one pass over a file, in bounded memory, that parses no value."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from rtd_adapters.io.hashes import file_sha256
from rtd_adapters.triplets.columns import FIELDS, Columns, names_in
from rtd_adapters.triplets.formats import (
    ARROW,
    DAMAGED,
    LINES,
    LIST,
    LONGEST_LINE,
    column_batches,
    opened,
    text_form,
)
from rtd_adapters.triplets.scan import Unscannable, scan_lines, scan_list

COLUMNS = "columns"
"""The form of files that are no text."""
PLACES, UNPACKED = "places", "unpacked"
TEXTS, ENDS = "texts", "ends"
"""Names of an index's files; those of columns have the field's name before them."""
FILES = (PLACES, UNPACKED, *(f"{field}-{name}" for field in FIELDS for name in (TEXTS, ENDS)))
BLOCK = 1 << 22
FEW = 256
"""Rows of a Parquet file in memory at a time: each may hold the longest text."""
LARGEST_RATIO = 200
"""Of a text's bytes to those it is compressed to."""
SCANS = {LINES: scan_lines, LIST: scan_list}


class Writer:
    """Writes the files of an index, and hashes them on the way.

    Args:
        folder: that it is to stand in.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._streams: dict[str, Any] = {}
        self._digests: dict[str, hashlib._Hash] = {}

    def add(self, name: str, content: bytes | memoryview) -> None:
        """Add to the end of a file."""
        if name not in self._streams:
            self._streams[name] = (self._folder / name).open("wb")
            self._digests[name] = hashlib.sha256()
        self._streams[name].write(content)
        self._digests[name].update(content)

    def add_places(self, name: str, places: np.ndarray) -> None:
        """Add whole numbers to the end of a file."""
        self.add(name, places.astype("<u8").tobytes())

    def close(self) -> None:
        """Close all files."""
        for stream in self._streams.values():
            stream.close()

    def files(self) -> dict[str, str]:
        """sha256 of what was written, by the file's name."""
        return {name: digest.hexdigest() for name, digest in self._digests.items()}


def fill(path: Path, columns: Columns | None, writer: Writer) -> tuple[str, tuple[str, ...], str]:
    """Write where a file's rows are; returns its form, its columns' names, and its sha256.

    Raises:
        Unscannable: it is of no form that can be read row by row, or not well-formed.
        OSError: a disk fails.
    """
    if path.suffix in ARROW:
        return COLUMNS, _fill_columns(path, columns, writer), file_sha256(path)
    try:
        with path.open("rb") as plain, opened(str(path)) as stream:
            form = text_form(path, stream)
            if form not in SCANS:
                raise Unscannable(f"{form} is not read row by row")
            packed = not isinstance(stream.raw, io.FileIO)
            digest = hashlib.sha256()
            if packed:
                blocks = _unpacked(stream, path.stat().st_size, writer)
            else:
                blocks = _hashed(plain, digest)
            for places in SCANS[form](blocks):
                writer.add_places(PLACES, places)
    except DAMAGED as error:
        raise Unscannable(str(error)) from error
    return form, (), file_sha256(path) if packed else digest.hexdigest()


def _hashed(stream: io.BufferedReader, digest: hashlib._Hash) -> Iterator[bytes]:
    while block := stream.read(BLOCK):
        digest.update(block)
        yield block


def _unpacked(stream: io.BufferedReader, packed: int, writer: Writer) -> Iterator[bytes]:
    """A compressed text, of which a copy is kept."""
    most, size = BLOCK + LARGEST_RATIO * packed, 0
    while block := stream.read(BLOCK):
        size += len(block)
        if size > most:
            raise Unscannable("it unpacks to far more than any text")
        writer.add(UNPACKED, block)
        yield block


def _fill_columns(path: Path, columns: Columns | None, writer: Writer) -> tuple[str, ...]:
    """Write three columns; returns their names."""
    names: tuple[str, ...] = ()
    ends = dict.fromkeys(FIELDS, 0)
    try:
        for batch in column_batches(path, FEW):
            names = names_in(batch.schema.names, columns)
            for field, name in zip(FIELDS, names, strict=True):
                if name not in batch.schema.names:
                    raise Unscannable(f"no column {name}")
                texts, lengths = _texts(batch.column(name))
                writer.add(f"{field}-{TEXTS}", texts)
                own = ends[field] + np.cumsum(lengths)
                writer.add_places(f"{field}-{ENDS}", own)
                ends[field] = int(own[-1]) if len(own) else ends[field]
    except (ValueError, KeyError, OverflowError, NotImplementedError) as error:
        raise Unscannable(str(error)) from error  # what Arrow raises is of these, or an OSError
    if not all(ends.values()):
        raise Unscannable("no rows")
    return names


def _texts(column: Any) -> tuple[memoryview, np.ndarray]:
    """A column's texts, one after another, and how many bytes each has."""
    pyarrow = import_module("pyarrow")
    if hasattr(column, "dictionary"):
        column = column.dictionary_decode()
    types = pyarrow.types
    if column.null_count or not (
        types.is_string(column.type) or types.is_large_string(column.type)
    ):
        raise Unscannable("a column is not all texts")
    column = column.cast(pyarrow.large_string())
    _, offsets, texts = column.buffers()
    places = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
    lengths = np.diff(places)
    if len(lengths) and lengths.max() >= LONGEST_LINE:
        raise Unscannable("a text is too long")
    whole = memoryview(texts) if texts is not None else memoryview(b"")
    return whole[int(places[0]) : int(places[-1])] if len(lengths) else whole[:0], lengths
