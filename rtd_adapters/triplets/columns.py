"""Finds the three texts of a triplet in a row, under whatever names they go."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from rtd_adapters.errors import TripletError, UsageError
from rtd_adapters.triplets.formats import Row
from rtd_adapters.triplets.records import Triplet, is_unicode

FIELDS = ("reference", "conditioning", "target")
OFFICIAL = ("reference_caption", "conditioning_caption", "target_caption")
"""The official RTD file; what we write."""
KNOWN = (
    OFFICIAL,
    FIELDS,
    ("input", "edit", "output"),  # InstructPix2Pix's GPT-3 file
    ("original_prompt", "edit_prompt", "edited_prompt"),  # InstructPix2Pix on the Hub
    ("reference_caption", "caption", "target_caption"),  # CIRR annotations plus captions
    ("candidate_caption", "captions", "target_caption"),  # FashionIQ annotations plus captions
)
"""Names of (reference, conditioning, target), the first that a row has in full being taken."""
SEVERAL = "captions"
"""FashionIQ gives two conditioning texts; they are joined by `and`, the first one first."""
CAPTION = ("caption", "text", "captions", "TEXT", *OFFICIAL[:1])
"""Names of a caption column."""


class EmptyText(TripletError):
    """One of a triplet's texts is empty."""


Columns = Mapping[str, str]
"""Field (reference, conditioning, target) to the name it has in the source."""


def parse_columns(text: str) -> Columns:
    """`reference=src,conditioning=edit,target=dst` as a mapping; unnamed fields keep their names.

    Raises:
        UsageError: it does not read so, or names another field.
    """
    columns = dict(zip(FIELDS, OFFICIAL, strict=True))
    for part in text.split(","):
        field, equals, name = (piece.strip() for piece in part.partition("="))
        if field not in FIELDS or not equals or not name:
            raise UsageError(
                f"--columns {text!r}: {part!r} is not FIELD=NAME with a FIELD of "
                f"{', '.join(FIELDS)}."
            )
        columns[field] = name
    return columns


def to_triplet(row: Row, columns: Columns | None, source: str) -> Triplet:
    """The triplet in a row.

    Raises:
        TripletError: the row could not be read, lacks a column (the message lists those present),
            or has a text that is empty or none at all.
    """
    place = f"{source}, {row.place}"
    if row.error:
        raise TripletError(f"{place}: {row.error}")
    if not isinstance(row.value, Mapping):
        form = type(row.value).__name__
        raise TripletError(f"{place}: a {form}, not an object with {_listed(OFFICIAL)}.")
    names = names_in(row.value, columns)
    missing = [name for name in names if name not in row.value]
    if missing:
        present = _listed(row.value) or "nothing"
        raise TripletError(f"{place}: no {_listed(missing)}; it has {present}.")
    return Triplet(*(_text(row.value[name], name, place) for name in names))


def to_caption(row: Row, column: str | None, source: str) -> str:
    """The caption in a row; an empty one, where the row has none.

    Raises:
        TripletError: the row could not be read or has no such column.
    """
    place = f"{source}, {row.place}"
    if row.error:
        raise TripletError(f"{place}: {row.error}")
    value = {"caption": row.value} if isinstance(row.value, str) else row.value
    if not isinstance(value, Mapping):
        raise TripletError(f"{place}: a {type(value).__name__}, not a caption.")
    names = (column,) if column else CAPTION
    key = next((name for name in names if name in value), None)
    if key is None:
        raise TripletError(
            f"{place}: no column {' or '.join(names)}; it has {_listed(value)}. Pass --column."
        )
    text = value[key]
    return _whole(text, key, place).strip() if isinstance(text, str) else ""


def names_in(value: Collection[str], columns: Columns | None) -> tuple[str, ...]:
    """What the fields are called in a row, or among a table's columns."""
    if columns is not None:
        return tuple(columns[field] for field in FIELDS)
    return next((names for names in KNOWN if all(name in value for name in names)), OFFICIAL)


def _text(value: Any, name: str, place: str) -> str:
    if name == SEVERAL and isinstance(value, list) and all(isinstance(v, str) for v in value):
        value = " and ".join(text.strip() for text in value if text.strip())
    if isinstance(value, list | dict):
        raise TripletError(
            f"{place}: {name} is a {type(value).__name__}. The file looks like columns; write one "
            "object a triplet (pandas: orient='records')."
        )
    if not isinstance(value, str):
        raise TripletError(f"{place}: {name} is {value!r}, not a string.")
    if not value.strip():
        raise EmptyText(f"{place}: {name} is empty. Fill it in or take the triplet out.")
    return _whole(value, name, place)


def _whole(text: str, name: str, place: str) -> str:
    if not is_unicode(text):
        raise TripletError(
            f"{place}: {name} holds half a character (a lone surrogate such as \\ud83d), which no "
            "file can hold. Mend the text."
        )
    return text


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(map(str, names))
