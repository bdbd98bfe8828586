"""Reads a JSON list entry by entry, so that a large file needs little memory."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import IO, Any

from rtd_adapters.errors import first_line

CHUNK = 1 << 16
LONGEST_ENTRY = 1 << 24
"""Characters."""
SPACE = " \t\r\n"


class JsonListError(ValueError):
    """Not a JSON list; `line` says where, counted from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class JsonList:
    """The entries of the JSON list in a byte stream.

    Raises:
        JsonListError: while iterating, where the text stops being a JSON list in UTF-8.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        self._scan = json.JSONDecoder().raw_decode
        self._text, self._at, self._line = "", 0, 1
        self._ended = False

    def __iter__(self) -> Iterator[Any]:
        self._take("[")
        if self._next() == "]":
            self._at += 1
        else:
            yield self._value()
            while self._take(",]") == ",":
                yield self._value()
        if self._next():
            raise self._error("extra data after the list")

    def _value(self) -> Any:
        self._next()
        while True:
            try:
                value, self._at = self._scan(self._text, self._at)
                return value
            except json.JSONDecodeError as error:
                if len(self._text) - self._at > LONGEST_ENTRY:
                    raise self._error(
                        f"an entry of more than {LONGEST_ENTRY >> 20} Mi characters"
                    ) from None
                if not self._fill():
                    # Cutting a string or a word off reads as if it were wrong where it starts.
                    self._at = error.pos
                    raise self._error(error.msg) from None
            except (ValueError, RecursionError) as error:  # numbers, or nesting, beyond all bounds
                raise self._error(first_line(error)) from None

    def _take(self, wanted: str) -> str:
        sign = self._next()
        if not sign or sign not in wanted:
            raise self._error(f"Expecting {' or '.join(map(repr, wanted))} delimiter")
        self._at += 1
        return sign

    def _next(self) -> str:
        """The next character that is not space, or nothing at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in SPACE:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill():
                return ""

    def _fill(self) -> bool:
        """Drop what is read and append what follows; false at the end."""
        if self._ended:
            return False
        raw = self._stream.read(max(CHUNK, len(self._text) - self._at))
        self._ended = not raw
        self._line += self._text.count("\n", 0, self._at)
        rest = self._text[self._at :]
        try:
            self._text = rest + self._decode.decode(raw, final=self._ended)
        except UnicodeDecodeError as error:
            line = self._line + rest.count("\n") + error.object.count(b"\n", 0, error.start)
            raise JsonListError(line, "not UTF-8. Save the file as UTF-8.") from None
        self._at = 0
        return not self._ended

    def _error(self, message: str) -> JsonListError:
        return JsonListError(self._line + self._text.count("\n", 0, self._at), message)
