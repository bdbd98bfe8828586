"""Triplets and captions from any source, and triplets to a file."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from filelock import FileLock

from rtd_adapters.errors import FileError, TripletError
from rtd_adapters.io.atomic import whole_file
from rtd_adapters.io.hashes import file_sha256
from rtd_adapters.triplets.columns import OFFICIAL, Columns, to_caption, to_triplet
from rtd_adapters.triplets.formats import (
    ARROW,
    COMPRESSED_NAMES,
    STDIN,
    is_place,
    on_disk,
    read_rows,
)
from rtd_adapters.triplets.index import find_index, index_folder, make_index, open_index
from rtd_adapters.triplets.indexed import IndexedTriplets
from rtd_adapters.triplets.records import Triplet, TripletSet
from rtd_adapters.triplets.scan import Unscannable
from rtd_adapters.triplets.spill import hold

INDEXED = 1 << 25
"""Bytes from which on a file's rows stay where they are."""
PACKED = 4
"""By how much less those of compressed files and of columns are."""


def read_triplets(source: str | Path, columns: Columns | None = None) -> TripletSet:
    """Read triplets; every row must be whole.

    The official format is a JSON list, or one JSON object a line, of objects with the keys
    reference_caption, conditioning_caption and target_caption, each a string that is not empty;
    further keys are ignored. `formats.read_rows` says which other sources are read, and
    `columns.KNOWN` which other names are known. Memory stays bounded for any number of triplets.

    Rows of a large file (`INDEXED`) of JSON, Parquet or Arrow stay there, and an index of them in
    the cache: of these the first, the last and some between are looked at, any other one when it
    is drawn.

    Args:
        source: file, folder, `-` for standard input, or a place on the Hub, see
            `formats.read_rows`.
        columns: field (reference, conditioning, target) to the name it has in the source.

    Raises:
        FileError: the source is missing, unreadable or damaged.
        TripletError: it is not of that form; the message names the line or the entry.
    """
    source = on_disk(source)
    indexed = _indexed(source, columns)
    if indexed is not None:
        return TripletSet(indexed, Path(source).name, indexed.sha256)
    digest = hashlib.sha256()
    triplets = hold(_hashed(_triplets(source, columns), digest))
    if not triplets:
        raise TripletError(f"{source} holds no triplets.")
    path = Path(source)
    sha256 = file_sha256(path) if path.is_file() else digest.hexdigest()
    return TripletSet(triplets, path.name if path.is_file() else str(source), sha256)


def read_captions(source: str | Path, column: str | None = None) -> Iterator[str]:
    """Captions of a source, one after the other, stripped; one may be empty.

    Args:
        source: as for `read_triplets`; a text file has a caption a line.
        column: name of the caption column; by default one of `columns.CAPTION`.

    Raises:
        FileError: the source is missing, unreadable or damaged.
        TripletError: a row cannot be read or lacks the column.
    """
    return (to_caption(row, column, str(source)) for row in read_rows(source))


def write_triplets(path: Path, triplets: Iterable[Triplet]) -> int:
    """Write one JSON object a line, with the official keys, whole or not at all; returns how many.

    Raises:
        FileError: the file cannot be written.
        TripletError: a text is no Unicode.
    """
    count = 0
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        for count, triplet in enumerate(triplets, start=1):
            stream.write(_encoded(triplet, count))
    return count


def as_line(triplet: Triplet) -> str:
    """A triplet as a line of the official format."""
    return json.dumps(as_dict(triplet), ensure_ascii=False) + "\n"


def _encoded(triplet: Triplet, number: int) -> bytes:
    try:
        return as_line(triplet).encode()
    except UnicodeEncodeError as error:
        raise TripletError(
            f"Triplet {number} holds half a character ({error.object[error.start]!a}), which no "
            "file can hold. Mend the text."
        ) from error


def as_dict(triplet: Triplet) -> dict[str, str]:
    """A triplet under its official names."""
    texts = (triplet.reference, triplet.conditioning, triplet.target)
    return dict(zip(OFFICIAL, texts, strict=True))


def source_identity(source: str | Path) -> str:
    """What tells a source from another: a file's hash, or the name of a dataset.

    Standard input is never the same twice, so a broken run on it cannot be gone on with.
    """
    if str(source) == STDIN:
        return f"standard input at {time.time_ns()}"
    path = Path(on_disk(source))
    return file_sha256(path) if is_place(path, Path.is_file) else str(source)


def _indexed(source: str | Path, columns: Columns | None) -> IndexedTriplets | None:
    """The triplets of a large file, by its index; None where it is small, or can have none."""
    path = Path(source)
    if str(source) == STDIN or not is_place(source, Path.is_file):
        return None
    packed = path.suffix in (*ARROW, *COMPRESSED_NAMES)
    if path.stat().st_size < (INDEXED // PACKED if packed else INDEXED):
        return None
    folder = index_folder(path, columns)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):  # of several runs one makes it
            about = find_index(path, columns) or make_index(path, columns)
        indexed = open_index(about, columns, str(source))
    except Unscannable:
        return None
    except (FileError, OSError) as error:
        warnings.warn(f"{source} is read without an index: {error}", stacklevel=3)
        return None
    indexed.check_some()
    return indexed


def _triplets(source: str | Path, columns: Columns | None) -> Iterator[Triplet]:
    return (to_triplet(row, columns, str(source)) for row in read_rows(source))


def _hashed(triplets: Iterable[Triplet], digest: hashlib._Hash) -> Iterator[Triplet]:
    for triplet in triplets:
        digest.update(as_line(triplet).encode("utf-8", "surrogatepass"))
        yield triplet
