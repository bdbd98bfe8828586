"""Fields of a configuration file, held to a schema: every fault is placed."""

from __future__ import annotations

import os
import re
import types
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from rtd_adapters.io.entries import Entry, kind

REMEDY = "Mend the file; docs/evaluation.md shows how one is written."
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}")
"""Of what a file names: it becomes the name of a folder."""
VARIABLE = re.compile(r"\$\{(\w+)\}")
WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def require_keys(entry: Entry, allowed: Collection[str]) -> None:
    """Refuse keys that mean nothing, and keys without a value."""
    for name in entry:
        if name not in allowed:
            entry.refuse(f"{name!r} is no key here; there are {', '.join(allowed)}")
        if name not in entry:
            entry.refuse(f"{name!r} is empty. Write a value, or take the key out")


def named(entry: Entry, section: str) -> Iterator[tuple[str, Entry]]:
    """Name and body of everything that a section names; nothing where there is no such section."""
    if section not in entry:
        return
    inside = entry.entry(section)
    for name in inside:
        if not NAME.fullmatch(name):
            inside.refuse(
                f"{name!r} is no name: letters, digits and . _ + - make one, 80 at most, and a "
                "letter or digit comes first"
            )
        yield name, inside.entry(name)


def text_or(entry: Entry, name: str, default: str) -> str:
    """A text, where there is one."""
    return entry.text(name) if name in entry else default


def texts_by_name(entry: Entry, name: str) -> dict[str, str]:
    """An object of texts, empty where there is none."""
    if name not in entry:
        return {}
    inside = entry.entry(name)
    return {key: inside.text(key) for key in inside}


def distinct(entry: Entry, name: str, known: Collection[str]) -> tuple[str, ...]:
    """A list of names, all known and none twice."""
    texts = entry.texts(name)
    if not texts:
        entry.refuse(f"{name!r} is an empty list")
    for place, text in enumerate(texts):
        if text in texts[:place]:
            entry.refuse(f"{name!r} names {text!r} twice")
        if text not in known:
            there = ", ".join(known) or "none"
            entry.refuse(f"{name!r} names {text!r}, which the file does not describe ({there})")
    return texts


def path_in(entry: Entry, name: str, folder: Path) -> Path:
    """A path, relative to the file's folder; `${NAME}` stands for an environment variable.

    A variable that is not set stays as it is written, and the path leads nowhere.
    """
    text = entry.text(name)
    if "\0" in text or not text:
        entry.refuse(f"{name!r} is no path")
    return folder / VARIABLE.sub(lambda found: os.environ.get(found[1], found[0]), text)


def values_of(entry: Entry, owner: type, names: Collection[str]) -> dict[str, Any]:
    """Those of a dataclass's fields that are there, each of its field's type."""
    hints = get_type_hints(owner)
    values = {name: entry.value[name] for name in names if name in entry}
    for name, value in values.items():
        if not _fits(value, hints[name]):
            entry.refuse(f"{name!r} is {_shown(value)}, where {_wanted(hints[name])} belongs")
    return values


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return any(_fits(value, one) for one in get_args(hint))
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint


def _wanted(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return f"one of {', '.join(get_args(hint))}"
    if get_origin(hint) in (Union, types.UnionType):
        return _wanted(next(one for one in get_args(hint) if one is not type(None)))
    return WORDS[hint]


def _shown(value: Any) -> str:
    return f"{kind(value)} ({str(value)[:40]})" if not isinstance(value, Mapping) else kind(value)
