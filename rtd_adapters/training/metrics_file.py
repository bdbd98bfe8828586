"""metrics.jsonl: one line of figures for each step of a run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from rtd_adapters.errors import FileError
from rtd_adapters.io.atomic import whole_file

NAME = "metrics.jsonl"
BEGINNING = b'{"step": '
"""Of every line, by which a file of ours is known."""


class MetricsFile:
    """Appends to the run folder's metrics.jsonl."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def append(self, step: int, metrics: dict[str, float]) -> None:
        """Add a step's line, whole or not at all.

        Raises:
            FileError: the disk refuses.
        """
        line = json.dumps({"step": step, **metrics}) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            size = self.path.stat().st_size if self.path.exists() else 0
            try:
                with self.path.open("ab") as file:
                    file.write(line.encode())
            except OSError:
                if self.path.exists():
                    os.truncate(self.path, size)
                raise
        except OSError as error:
            raise FileError(
                f"{self.path} cannot be written: {error.strerror}. Free some space, then --resume."
            ) from error

    def forget_after(self, step: int) -> None:
        """Drop the lines of steps that will be run again, and one that a crash has torn.

        Raises:
            FileError: the disk refuses, or the file is not of rtd.
        """
        if not self.path.exists():
            return
        self.require_ours()
        lines = self.path.read_bytes().splitlines(keepends=True)
        with whole_file(self.path) as temporary:
            temporary.write_bytes(b"".join(_until(step, lines)))

    def remove(self) -> None:
        """Delete it, so that a run begins a new one.

        Raises:
            FileError: the file is not of rtd.
        """
        self.require_ours()
        self.path.unlink(missing_ok=True)

    def require_ours(self) -> None:
        """Check that rtd wrote it, if it is there at all.

        Raises:
            FileError: somebody else did.
        """
        if not self.path.exists():
            return
        if self.path.is_file():
            with self.path.open("rb") as stream:
                start = stream.read(len(BEGINNING))
            if BEGINNING.startswith(start):  # a torn first line, or an empty file, too
                return
        raise FileError(
            f"{self.path} is not a file that rtd wrote, and is not replaced. Move it away, or "
            "name another folder with --run-dir."
        )


def _until(step: int, lines: list[bytes]) -> Iterator[bytes]:
    """Whole lines of no later step."""
    for line in lines:
        try:
            if line.endswith(b"\n") and json.loads(line)["step"] <= step:
                yield line
        except (ValueError, KeyError, TypeError):
            continue
