"""Tables that people write, CSV or one JSON object a line: every fault is named with its line."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from rtd_adapters.errors import FileError, first_line
from rtd_adapters.io.bounded import read_bounded
from rtd_adapters.io.entries import Entry
from rtd_adapters.io.json_files import LARGEST, parse_json

REMEDY = "Mend this line; docs/evaluation.md has the format."
SEPARATOR = ";"
"""Between the values of one cell."""


def read_table(path: Path, columns: Collection[str], lists: Collection[str]) -> list[Entry]:
    """The rows of a table, each with the line that it ends on.

    Args:
        path: ends in .csv or .jsonl.
        columns: that the table may have.
        lists: those that hold several values: in a CSV with ";" between them, in JSON as a list,
            or as a text where there is one.

    Raises:
        FileError: the file cannot be read, is empty, or a row has another column.
    """
    rows = _csv_rows if path.suffix == ".csv" else _json_rows
    entries = [Entry(place, value, REMEDY) for place, value in rows(path, _read(path), lists)]
    for entry in entries:
        if unknown := [name for name in entry if name not in columns]:
            entry.refuse(f"{unknown[0]!a} is no column; there are {', '.join(columns)}")
    if not entries:
        raise FileError(f"{path} holds no rows. Write a query in each line.")
    return entries


def read_list(path: Path) -> list[tuple[str, str]]:
    """The lines of a text file that are not empty, each after its place for messages.

    Raises:
        FileError: the file cannot be read.
    """
    lines = enumerate(_read(path).splitlines(), start=1)
    return [(f"{path}, line {number}", line.strip()) for number, line in lines if line.strip()]


def _read(path: Path) -> str:
    try:
        text = read_bounded(path, LARGEST).decode("utf-8-sig")
    except ValueError as error:
        why = first_line(error)
        raise FileError(f"{path} cannot be read: {why}. Save it as UTF-8 text.") from error
    return io.StringIO(text, newline=None).read()  # every kind of line end is one to the readers


def _csv_rows(path: Path, text: str, lists: Collection[str]) -> Iterator[tuple[str, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            place = f"{path}, line {reader.line_num}"
            if None in row:
                raise FileError(
                    f"{place}: it has more cells than the header. Put texts with a comma in quotes."
                )
            cells: dict[str, Any] = {name: value or None for name, value in row.items()}
            yield place, cells | {n: cells[n].split(SEPARATOR) for n in lists if cells.get(n)}
    except csv.Error as error:
        line = reader.reader.line_num
        raise FileError(f"{path}, line {line}: {error}. Mend this line.") from error


def _json_rows(path: Path, text: str, lists: Collection[str]) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            place = f"{path}, line {number}"
            value = parse_json(line, place)
            if isinstance(value, dict):
                single = {name: [value[name]] for name in lists if isinstance(value.get(name), str)}
                value = value | single
            yield place, value
