"""The one way to the terminal: whatever text comes from outside, it steers nothing there.

Captions, metadata, file names, plugins and servers may hold escape sequences that recolour, move or
forge lines. So a line is printed with every such sign spelled out; line ends are the program's own.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable
from typing import Any

import click

STEERING = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories: control characters, directions and other unseen signs, halves of
characters, separators of lines and paragraphs."""
JOINERS = "\u200c\u200d"
"""Are of the last but one kind, and belong to scripts and emoji."""


def printable(text: object) -> str:
    r"""A text in one line; what would steer a terminal is spelled \xNN, \uNNNN or \UNNNNNNNN."""
    return "".join(map(_spelled, str(text)))


def echo(*lines: object, heading: object = "", err: bool = False) -> None:
    """Print lines, or an empty one.

    Args:
        lines: each is made printable, so that a line end in it starts no other one.
        heading: stands in bold before the first.
        err: to standard error.
    """
    bold = click.style(printable(heading), bold=True) if heading else ""
    text = bold + "\n".join(map(printable, lines))
    encoding = (sys.stderr if err else sys.stdout).encoding or "utf-8"
    # A terminal of another encoding gets \xNN for what it lacks.
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding), err=err)


def saying(quiet: bool) -> Callable[[str], None]:
    """What tells a line on standard error, for those who want to hear."""

    def say(line: str) -> None:
        if not quiet:
            echo(line, err=True)

    return say


def echo_json(value: Any) -> None:
    """Print a value as JSON, which spells out all but DEL by itself."""
    click.echo(json.dumps(value, indent=2).replace("\x7f", "\\u007f"))


def _spelled(character: str) -> str:
    if character.isascii() and character.isprintable():
        return character
    if unicodedata.category(character) not in STEERING or character in JOINERS:
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
