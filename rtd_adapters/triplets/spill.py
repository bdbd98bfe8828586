"""Holds triplets: in memory up to a number, beyond it in a temporary file."""

from __future__ import annotations

import json
import mmap
import tempfile
from array import array
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import IO

from rtd_adapters.errors import FileError
from rtd_adapters.triplets.records import Triplet
from rtd_adapters.triplets.rows_by_place import TripletsByPlace

IN_MEMORY = 500_000
"""Triplets; about 250 MB of Python strings."""


def hold(triplets: Iterable[Triplet], in_memory: int = IN_MEMORY) -> Sequence[Triplet]:
    """A sequence of them all; more than `in_memory` go to disk, so memory stays bounded.

    Raises:
        FileError: the temporary folder has no room for them.
    """
    stream = iter(triplets)
    head = tuple(islice(stream, in_memory + 1))
    if len(head) <= in_memory:
        return head
    return TripletsOnDisk(chain(head, stream))


class TripletsOnDisk(TripletsByPlace):
    """Triplets in a nameless temporary file, read by offset; it goes when the process ends."""

    def __init__(self, triplets: Iterable[Triplet]) -> None:
        try:
            with tempfile.TemporaryFile() as rows, tempfile.TemporaryFile() as offsets:
                _spill(triplets, rows, offsets)
                self._rows = mmap.mmap(rows.fileno(), 0, access=mmap.ACCESS_READ)
                index = mmap.mmap(offsets.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise FileError(
                f"The triplets do not fit into {tempfile.gettempdir()}: {error.strerror}. "
                "Free some space there, or set TMPDIR to a larger disk."
            ) from error
        self._ends = memoryview(index).cast("Q")

    def __len__(self) -> int:
        return len(self._ends)

    def _row(self, place: int) -> Triplet:
        start = self._ends[place - 1] if place else 0
        return Triplet(*json.loads(self._rows[start : self._ends[place]]))


def _spill(triplets: Iterable[Triplet], rows: IO[bytes], offsets: IO[bytes]) -> None:
    end = 0
    for triplet in triplets:
        fields = (triplet.reference, triplet.conditioning, triplet.target)
        end += rows.write(json.dumps(fields).encode())
        offsets.write(array("Q", [end]).tobytes())
    rows.flush()
    offsets.flush()
