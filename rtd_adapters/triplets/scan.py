"""Where the rows of a text file begin and end, found in its bytes without parsing a value.

Vectorised, block by block, in bounded memory. Only what a well-formed file needs is understood; of
any other `Unscannable` says so, and whoever parses the file tells what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from rtd_adapters.triplets.formats import LONGEST_LINE
from rtd_adapters.triplets.json_list import LONGEST_ENTRY

NEWLINE, QUOTE, BACKSLASH = b'\n"\\'
SPACE = b" \t\r\n"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
PRINTABLE = (0x20, 0x7F)
"""Bytes between them begin no blank line."""
COMMA, OPEN, CLOSE, TEXT = 1, 2, 3, 4
STEPS = np.array([0, 0, 1, -1, 0], dtype=np.int64)
"""What each sign does to the depth of nesting."""


def _signs() -> np.ndarray:
    table = np.zeros(256, dtype=np.uint8)
    for characters, kind in ((b",", COMMA), (b"[{", OPEN), (b"]}", CLOSE), (b'"', TEXT)):
        table[list(characters)] = kind
    return table


SIGNS = _signs()
"""[256] which sign of JSON a byte is, if any."""


class Unscannable(Exception):
    """Not of the form that a scan understands."""


def scan_lines(blocks: Iterable[bytes]) -> Iterator[np.ndarray]:
    """Where lines begin that are not blank, and at last where the text ends; [n] uint64 each time.

    Args:
        blocks: the text's bytes.

    Raises:
        Unscannable: a line is longer than any that is read.
    """
    at, rest = 0, b""
    for block in blocks:
        text = rest + block
        ends = np.flatnonzero(np.frombuffer(text, np.uint8) == NEWLINE)
        whole = int(ends[-1]) + 1 if len(ends) else 0
        if len(ends):
            yield _filled(text, ends, at)
        rest = text[whole:]
        at += whole
        if len(rest) >= LONGEST_LINE:
            raise Unscannable("a line is too long")
    if rest:
        yield _filled(rest, np.array([len(rest)]), at)
    yield np.array([at + len(rest)], dtype=np.uint64)


def _filled(text: bytes, ends: np.ndarray, at: int) -> np.ndarray:
    """Where the lines of a text begin that are not blank, counted from `at`."""
    starts = np.concatenate([[0], ends[:-1] + 1])
    if (ends - starts).max() >= LONGEST_LINE:
        raise Unscannable("a line is too long")
    first = np.frombuffer(text + b"\n", np.uint8)[starts]
    kept = (first > PRINTABLE[0]) & (first < PRINTABLE[1])
    for row in np.flatnonzero(~kept):
        line = text[starts[row] : ends[row]]
        if at + starts[row] == 0:
            line = line.removeprefix(BYTE_ORDER_MARK)
        kept[row] = bool(line.decode(errors="replace").strip())
    return (starts[kept] + at).astype(np.uint64)


def scan_list(blocks: Iterable[bytes]) -> Iterator[np.ndarray]:
    """Where the signs stand between which the entries of a JSON list lie: its opening bracket, the
    commas of the list itself, its closing bracket; [n] uint64 each time.

    Args:
        blocks: the text's bytes; its first sign is a bracket.

    Raises:
        Unscannable: brackets or quotes do not match, an entry is longer than any that is read, or
            something follows the list.
    """
    scan, at, last = _ListScan(), 0, 0
    for block in blocks:
        found = scan.separators(block)
        if len(found):
            longest = max(int(np.diff(found, prepend=last - at).max()), 0)
            last = at + int(found[-1])
        else:
            longest = at + len(block) - last
        if longest >= LONGEST_ENTRY:
            raise Unscannable("an entry is too long")
        yield (found + at).astype(np.uint64)
        at += len(block)
    if not scan.ended:
        raise Unscannable("the list does not end")


class _ListScan:
    """What must be known of the blocks before to read the next one."""

    def __init__(self) -> None:
        self.ended = False
        self._depth, self._in_text, self._escaped = 0, 0, False

    def separators(self, block: bytes) -> np.ndarray:
        """Places in the block."""
        if self.ended:
            return self._nothing_more(block)
        data = np.frombuffer(block, np.uint8)
        places = np.flatnonzero(SIGNS[data])
        places = places[~self._escapes(data)[places]]
        kinds = SIGNS[data[places]]
        quotes = kinds == TEXT
        in_text = (np.cumsum(quotes) + self._in_text) & 1
        if len(in_text):
            self._in_text = int(in_text[-1])
        outside = ~quotes & (in_text == 0)
        places, kinds = places[outside], kinds[outside]
        depths = self._depth + np.cumsum(STEPS[kinds])
        if not len(depths):
            return places
        first = (depths == 1) & (kinds == OPEN) & (self._depth == 0)
        ends = np.flatnonzero(depths <= 0)
        if len(ends):
            self.ended = True
            if ends[0] != len(depths) - 1 or depths[-1] < 0:
                raise Unscannable("something follows the list")
            self._nothing_more(block[int(places[-1]) + 1 :])
        self._depth = int(depths[-1])
        return places[first | ((depths == 1) & (kinds == COMMA)) | (depths == 0)]

    def _escapes(self, data: np.ndarray) -> np.ndarray:
        """[length + 1] which bytes a backslash escapes."""
        escaped = np.zeros(len(data) + 1, dtype=bool)
        places = np.flatnonzero(data == BACKSLASH)
        if len(places):
            order = np.arange(len(places))
            begins = np.concatenate([[True], np.diff(places) != 1])
            turn = order - np.maximum.accumulate(np.where(begins, order, 0))
            if self._escaped and places[0] == 0:  # the first of them is escaped itself
                run = np.cumsum(begins) == 1
                turn = np.where(run, turn + 1, turn)
            escaped[places[turn % 2 == 0] + 1] = True
        escaped[0] |= self._escaped
        self._escaped = bool(escaped[len(data)])
        return escaped

    def _nothing_more(self, rest: bytes) -> np.ndarray:
        if rest.strip(SPACE):
            raise Unscannable("something follows the list")
        return np.empty(0, dtype=np.int64)
