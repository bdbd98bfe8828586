"""JSON from outside, whose fields are asked for by name and kind; every fault is placed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from rtd_adapters.errors import FileError

KINDS = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
LARGEST_NUMBER = 1e9


@dataclass(frozen=True)
class Entry:
    """An object of a JSON file.

    Every method raises FileError where the field is missing or of another kind.
    """

    place: str
    """File and entry, for messages."""
    value: Any
    """As it was read."""
    remedy: str
    """What to do about a fault, in a sentence."""

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

    def number(self, name: str) -> float:
        """A finite number."""
        return self._number(name, self._field(name))

    def numbers(self, name: str) -> list[float]:
        """A list of finite numbers."""
        return [self._number(name, value) for value in self._list(name)]

    def entry(self, name: str) -> Entry:
        """An object."""
        return Entry(f"{self.place}, {name!r}", self._field(name), self.remedy)

    def entries(self, name: str) -> list[Entry]:
        """A list of objects."""
        return numbered(f"{self.place}, {name!r}", self._list(name), self.remedy)

    def require_writable(self) -> None:
        """Refuse texts, however deep, that hold half a character."""
        try:
            json.dumps(self._fields, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            self.refuse("it holds half a character")

    def refuse(self, why: str) -> NoReturn:
        """Raise the FileError of this entry."""
        raise FileError(f"{self.place}: {why}. {self.remedy}")

    @property
    def _fields(self) -> Mapping[str, Any]:
        if not isinstance(self.value, dict):
            self.refuse(f"it is {kind(self.value)}, where an object belongs")
        return self.value

    def _field(self, name: str) -> Any:
        if name not in self._fields:
            self.refuse(f"{name!r} is missing")
        return self._fields[name]

    def _list(self, name: str) -> Sequence[Any]:
        value = self._field(name)
        if not isinstance(value, list | tuple):
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
        if not numeric:
            self._refuse_kind(name, value, "a number")
        if not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:  # nor is NaN
            self.refuse(f"{name!r} is not between -{LARGEST_NUMBER:,.0f} and {LARGEST_NUMBER:,.0f}")
        return value

    def _refuse_kind(self, name: str, value: Any, wanted: str) -> NoReturn:
        self.refuse(f"{name!r} is {kind(value)}, where {wanted} belongs")


def numbered(place: str, values: Sequence[Any], remedy: str) -> list[Entry]:
    """The entries of a list, counted from 0."""
    return [Entry(f"{place}, entry {number}", value, remedy) for number, value in enumerate(values)]


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    if isinstance(value, dict | list) and not value:
        return "an empty object" if isinstance(value, dict) else "an empty list"
    return "null" if value is None else KINDS.get(type(value), "a number")
