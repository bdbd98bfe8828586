"""Keeps what a long run has done, so that a broken one goes on where it stopped."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rtd_adapters.errors import FileError
from rtd_adapters.io.atomic import require_writable, whole_file

SETTINGS = "settings.json"


@contextmanager
def work_folder(out: Path, settings: Mapping[str, Any], *, overwrite: bool) -> Iterator[Path]:
    """Yield the folder OUT.work, which goes when the block ends well and stays when it does not.

    Args:
        out: the file that the run will write.
        settings: everything that decides the result; an unfinished run with other ones is refused.
        overwrite: replace `out`, and throw away an unfinished run with other settings.

    Raises:
        FileError: `out` or an unfinished run is in the way, or the folder cannot be written.
    """
    require_writable(out, overwrite=overwrite)
    folder = out.with_name(f"{out.name}.work")
    path = folder / SETTINGS
    if path.is_file() and json.loads(path.read_text("utf-8")) != settings:
        if not overwrite:
            raise FileError(
                f"{folder} holds an unfinished run with other settings or captions. Run it again "
                "as it was to go on with it, or pass --overwrite to throw it away."
            )
        shutil.rmtree(folder)
    if not path.is_file():
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(settings), "utf-8")
    yield folder
    shutil.rmtree(folder)


class Journal:
    """An append-only file of JSON lines. A last line that a crash has torn is cut off."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        self.count, end = 0, 0
        with path.open("rb") as stream:
            for line in stream:
                if line.endswith(b"\n"):
                    self.count += 1
                    end += len(line)
        os.truncate(path, end)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Any]:
        with self.path.open("rb") as stream:
            for line in stream:
                yield json.loads(line)

    @contextmanager
    def writing(self) -> Iterator[JournalWriter]:
        """Opened for appending.

        Raises:
            FileError: the disk is full; what was written before stays.
        """
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                yield JournalWriter(self, stream)
        except OSError as error:
            raise FileError(
                f"{self.path} cannot be written: {error.strerror}. What is done is kept; free "
                "some space and run the same command again."
            ) from error


class JournalWriter:
    """Appends rows to a journal."""

    def __init__(self, journal: Journal, stream: Any) -> None:
        self._journal, self._stream = journal, stream

    def append(self, row: Any) -> None:
        """One more line, which may wait in a buffer."""
        self._stream.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._journal.count += 1

    def flush(self) -> None:
        """Hand what was appended to the operating system; it survives the process."""
        self._stream.flush()
