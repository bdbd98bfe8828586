"""Reads rows, whatever the file format: JSON, JSON lines, CSV, TSV, text, Parquet, Arrow, Hub."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any, cast

from rtd_adapters.errors import FileError, TripletError, UsageError, first_line
from rtd_adapters.io.hub_files import SCHEME, fetched_file, hub_place
from rtd_adapters.io.json_files import parse_json
from rtd_adapters.triplets.json_list import JsonList, JsonListError

STDIN = "-"
HUB = "hub:"
LONGEST_LINE = 1 << 24
"""Bytes. A longer line is no caption, and would fill the memory."""
AT_ONCE = 1 << 26
"""Bytes of rows in memory at a time, at most."""
BATCH = 8192
PAGE = 1 << 20
"""Bytes of a Parquet column that are read at a time, where it need not be in memory whole."""
LARGEST_RATIO = 200
"""Of a row group's bytes in memory to those on disk."""
SHOWN = 60
COMPRESSED: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
"""Reader by the file's first bytes."""
COMPRESSED_NAMES = (".gz", ".bz2", ".xz")
ARROW = (".arrow", ".feather", ".parquet")
LIST, LINES, CAPTIONS, EMPTY = "list", "lines", "captions", "empty"
"""Forms of a text, see `text_form`."""
DELIMITERS = {".csv": ",", ".tsv": "\t"}
DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


@dataclass(frozen=True)
class Row:
    """One entry of a source, or the reason why it could not be read."""

    place: str
    """As in "line 3", for messages."""
    value: Any
    error: str | None = None


def read_rows(source: str | Path) -> Iterator[Row]:
    """Rows of a source, one after the other, in bounded memory.

    Args:
        source: a file (.json, .jsonl, .csv, .tsv, .txt, each also compressed with gzip, bzip2 or
            xz; .parquet, .arrow), `-` for standard input, `hub:NAME` or `hub:NAME@SPLIT` for a
            Hugging Face dataset, the folder of one, or hf://datasets/owner/name[@revision] with or
            without a file of it. A line of plain text is read as
            {"caption": line}.

    A row that cannot be read carries an `error` where reading can go on after it.

    Raises:
        FileError: the source is missing, unreadable or damaged.
        TripletError: it is not of its form, and reading cannot go on.
        UsageError: it needs the extra `datasets`, which is not installed.
    """
    source = on_disk(source)
    name, path = str(source), Path(source)
    if name.startswith((HUB, SCHEME)) or is_place(source, Path.is_dir):
        yield from _dataset(name)
    elif path.suffix in ARROW:
        yield from _arrow(path)
    else:
        yield from _text_rows(name, path)


def on_disk(source: str | Path) -> str | Path:
    """The source; a file on the Hub, hf://datasets/owner/name/file, as the file it was fetched to.

    Raises:
        FileError: it cannot be fetched.
        UsageError: it begins with hf:// and is of no known form.
    """
    place = hub_place(source) if str(source).startswith(SCHEME) else None
    return fetched_file(str(source)) if place and place.file else source


def is_place(source: str | Path, question: Callable[[Path], bool]) -> bool:
    """Whether a source is a file, or a folder: `Path.is_file`, `Path.is_dir`.

    Raises:
        FileError: no file can have that name, or nobody may look there.
    """
    try:
        return question(Path(source))
    except OSError as error:
        raise FileError(f"{source} cannot be read: {error.strerror}. Check the path.") from error


def _text_rows(name: str, path: Path) -> Iterator[Row]:
    try:
        with opened(name) as stream:
            yield from _dispatch(name, path, stream)
    except JsonListError as error:
        raise TripletError(f"{name}, line {error.line}: {error}. Mend the JSON there.") from error
    except DAMAGED as error:
        raise FileError(f"{name} is damaged: {error}. Fetch or compress it again.") from error
    except OSError as error:
        raise FileError(
            f"{name} cannot be read: {error.strerror or error}. Check the path."
        ) from error


def _dispatch(name: str, path: Path, stream: io.BufferedReader) -> Iterator[Row]:
    form = text_form(path, stream)
    if form == EMPTY:
        raise TripletError(f"{name} is empty.")
    if form in DELIMITERS:
        yield from _table(name, stream, DELIMITERS[form])
    elif form == CAPTIONS:
        yield from map(_as_caption, _filled(stream))
    elif form == LIST:
        for number, entry in enumerate(JsonList(stream), start=1):
            yield Row(f"entry {number}", entry)
    else:
        yield from map(_as_json, _filled(stream))


def text_form(path: Path, stream: io.BufferedReader) -> str:
    """What a text is read as, by its name and its first character: `LIST`, `LINES`, `CAPTIONS`,
    `EMPTY`, or a key of `DELIMITERS`."""
    inner = path.with_suffix("").suffix if path.suffix in COMPRESSED_NAMES else ""
    suffix, start = inner or path.suffix, _first_character(stream)
    if not start:
        return EMPTY
    if suffix in DELIMITERS:
        return suffix
    if suffix == ".txt" or (not suffix.startswith(".json") and start not in "[{"):
        return CAPTIONS
    return LIST if start == "[" else LINES


@contextmanager
def opened(name: str) -> Iterator[io.BufferedReader]:
    """The source's bytes, decompressed."""
    with nullcontext(sys.stdin.buffer) if name == STDIN else Path(name).open("rb") as raw:
        stream = cast(io.BufferedReader, raw)
        head = stream.peek(6)
        for magic, opener in COMPRESSED.items():
            if head.startswith(magic):
                stream = io.BufferedReader(opener(stream))
        yield stream


def _first_character(stream: io.BufferedReader) -> str:
    """The first character that is not space, left in the stream."""
    while head := stream.peek(16):
        kept = head.lstrip(b"\xef\xbb\xbf \t\r\n")
        if kept:
            return chr(kept[0])
        stream.read(len(head))
    return ""


def _lines(stream: IO[bytes]) -> Iterator[Row]:
    """Lines, decoded; `value` has no line end."""
    number = 0
    while raw := stream.readline(LONGEST_LINE):
        number += 1
        place = f"line {number}"
        if len(raw) == LONGEST_LINE and not raw.endswith(b"\n"):
            while raw and not raw.endswith(b"\n"):
                raw = stream.readline(LONGEST_LINE)
            yield Row(place, None, f"longer than {LONGEST_LINE >> 20} MiB. Break it up.")
            continue
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            yield Row(place, None, "not UTF-8. Save the file as UTF-8.")
            continue
        yield Row(place, text)


def _filled(stream: IO[bytes]) -> Iterator[Row]:
    return (row for row in _lines(stream) if row.error or row.value.strip())


def _as_json(row: Row) -> Row:
    if row.error:
        return row
    try:
        return Row(row.place, parse_json(row.value, row.place))
    except FileError as error:
        why = getattr(error.__cause__, "msg", str(error))
        return Row(
            row.place,
            None,
            f"{why} in {row.value[:SHOWN]!r}. The file must be a JSON list, or one JSON object a "
            "line.",
        )


def _as_caption(row: Row) -> Row:
    return row if row.error else Row(row.place, {"caption": row.value.strip()})


def _table(name: str, stream: IO[bytes], delimiter: str) -> Iterator[Row]:
    """Rows of a CSV or TSV file with a header line."""
    csv.field_size_limit(LONGEST_LINE)
    reader = csv.DictReader(_decoded(name, stream), delimiter=delimiter)
    try:
        for row in reader:
            yield Row(f"line {reader.line_num}", row)
    except csv.Error as error:
        raise TripletError(f"{name}, line {reader.line_num}: {error}. Mend the table.") from error


def _decoded(name: str, stream: IO[bytes]) -> Iterator[str]:
    for row in _lines(stream):
        if row.error:
            raise TripletError(f"{name}, {row.place}: {row.error}")
        yield row.value + "\n"


def _arrow(path: Path) -> Iterator[Row]:
    pyarrow = _extra("pyarrow")
    try:
        batches = _parquet_batches(path) if path.suffix == ".parquet" else _record_batches(path)
        yield from _numbered(row for batch in batches for row in _batch_rows(batch))
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        # Texts that are no UTF-8 and dates of no calendar fail when Python's values are made; what
        # Arrow raises of a damaged file is an OSError without a number.
        if isinstance(error, OSError) and error.errno:
            raise FileError(f"{path} cannot be read: {error.strerror}. Check the path.") from error
        raise FileError(
            f"{path} is damaged or no {path.suffix} file: {first_line(error)}. Fetch it again."
        ) from error


def column_batches(path: Path, few: int) -> Iterator[Any]:
    """Record batches of a Parquet file, or of an Arrow file as they are; pyarrow's own errors,
    where it is damaged.

    Args:
        path: the file.
        few: rows of a Parquet batch at most: a text that stands in many of them is held as often.

    Raises:
        FileError: a row group unpacks to far more than any text does.
        UsageError: pyarrow is not installed.
    """
    if path.suffix != ".parquet":
        yield from _record_batches(path)
        return
    _require_texts(path)
    file = _extra("pyarrow.parquet").ParquetFile(path, buffer_size=PAGE, pre_buffer=False)
    yield from file.iter_batches(batch_size=few, use_threads=False)


def _parquet_batches(path: Path) -> Iterator[Any]:
    """Batches of a Parquet file, in which a text that stands in many rows is held once.

    Raises:
        FileError: a row group unpacks to far more than any text does.
    """
    schema = _require_texts(path)
    texts = [field.name for field in schema if _extra("pyarrow").types.is_string(field.type)]
    dictionaries = _extra("pyarrow.parquet").ParquetFile(path, read_dictionary=texts)
    yield from dictionaries.iter_batches(batch_size=BATCH)


def _require_texts(path: Path) -> Any:
    """The schema of a Parquet file whose row groups are of a size that texts have."""
    file = _extra("pyarrow.parquet").ParquetFile(path)
    for group in range(file.num_row_groups):
        # Not column by column: pyarrow ends the process where a column's statistics are damaged.
        unpacked = file.metadata.row_group(group).total_byte_size
        if unpacked > AT_ONCE + LARGEST_RATIO * path.stat().st_size:
            raise FileError(
                f"{path} unpacks a row group to {unpacked:,} bytes, far more than any text. "
                "Fetch or write it again."
            )
    return file.schema_arrow


def _batch_rows(batch: Any) -> Iterator[Any]:
    """Rows, so many at a time that they stay small even if each holds the longest text."""
    longest = sum(map(_longest, batch.columns))
    step = max(1, min(BATCH, AT_ONCE // max(longest, 1)))
    for start in range(0, len(batch), step):
        part = batch.slice(start, step)
        columns = [c.dictionary_decode() if hasattr(c, "dictionary") else c for c in part.columns]
        yield from type(batch).from_arrays(columns, batch.schema.names).to_pylist()


def _longest(column: Any) -> int:
    """Bytes of a column's longest value at most."""
    types = _extra("pyarrow").types
    values = getattr(column, "dictionary", column)
    if not (types.is_string(values.type) or types.is_large_string(values.type)):
        return int(values.nbytes)
    compute = _extra("pyarrow.compute")
    return compute.max(compute.binary_length(values)).as_py() or 0


def _record_batches(path: Path) -> Iterator[Any]:
    """Batches of an Arrow file (Feather), or of an Arrow stream, as `datasets` writes it."""
    ipc = _extra("pyarrow.ipc")
    with path.open("rb") as stream:
        if stream.read(6) == b"ARROW1":
            file = ipc.open_file(stream)
            yield from (file.get_batch(number) for number in range(file.num_record_batches))
        else:
            stream.seek(0)
            yield from ipc.open_stream(stream)


def _dataset(name: str) -> Iterator[Row]:
    """Rows of a Hugging Face dataset: on the Hub, saved to disk, or a folder of files."""
    datasets = _extra("datasets")
    hub, _, split = name.removeprefix(HUB).partition("@")
    place = hub_place(name) if name.startswith(SCHEME) else None
    try:
        if (Path(name) / "dataset_info.json").is_file():
            rows = datasets.load_from_disk(name)
        elif place:
            rows = datasets.load_dataset(
                place.repository, revision=place.revision, split="train", streaming=True
            )
        elif name.startswith(HUB):
            rows = datasets.load_dataset(hub, split=split or "train", streaming=True)
        else:
            rows = datasets.load_dataset(name, split="train", streaming=True)
        yield from _numbered(rows)
    except Exception as error:
        raise FileError(
            f"{name} did not load as a dataset: {first_line(error)} "
            "Check its name and split, or pass one of its files."
        ) from error


def _numbered(rows: Iterable[Any]) -> Iterator[Row]:
    for number, row in enumerate(rows, start=1):
        length = sum(len(value) for value in row.values() if isinstance(value, str | bytes))
        if length > LONGEST_LINE:
            yield Row(f"row {number}", None, f"longer than {LONGEST_LINE >> 20} MiB. Break it up.")
        else:
            yield Row(f"row {number}", row)


def _extra(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise UsageError(
            "Parquet, Arrow and Hub datasets need an extra: pip install 'rtd-adapters[datasets]'."
        ) from error
