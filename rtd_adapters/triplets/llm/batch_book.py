"""Which requests are in which batch, on disk before anything is paid for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rtd_adapters.triplets.work import BATCHES, Journal, JournalWriter

Requests = Sequence[str]
"""Their names."""


class BatchBook:
    """The files and batches of a run, in its folder."""

    def __init__(self, journal: Journal, writer: JournalWriter) -> None:
        self._writer = writer
        self.uploaded: dict[str, Requests] = {}
        """Files of which no batch is known; one may have been made."""
        self.open: dict[str, Requests] = {}
        """Batches whose answers are not all taken."""
        for row in journal:
            self._apply(row)

    @staticmethod
    @contextmanager
    def opened(folder: Path) -> Iterator[BatchBook]:
        """Read what the folder holds, and add to it.

        Raises:
            FileError: it cannot be read or written.
        """
        journal = Journal(folder / BATCHES)
        with journal.writing() as writer:
            yield BatchBook(journal, writer)

    def add_file(self, file: str, requests: Requests) -> None:
        """A file was uploaded."""
        self._write({"file": file, "requests": list(requests)})

    def add_batch(self, file: str, batch: str) -> None:
        """A batch was made of it."""
        self._write({"file": file, "batch": batch})

    def close(self, batch: str) -> None:
        """All that a batch gave is taken."""
        self._write({"closed": batch})

    def _write(self, row: Mapping[str, Any]) -> None:
        self._writer.append(row)
        self._writer.flush()
        self._apply(row)

    def _apply(self, row: Mapping[str, Any]) -> None:
        if "closed" in row:
            del self.open[row["closed"]]
        elif "batch" in row:
            self.open[row["batch"]] = self.uploaded.pop(row["file"])
        else:
            self.uploaded[row["file"]] = row["requests"]
