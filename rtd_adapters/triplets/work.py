"""Keeps what a long run has done, so that a broken one goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rtd_adapters.errors import FileError
from rtd_adapters.io.atomic import require_writable, whole_file
from rtd_adapters.io.json_files import parse_json, read_json

SETTINGS = "settings.json"
PRIVATE = 0o600
"""Of the settings, which name a server and may hold its address's hash."""
OURS = (SETTINGS, "answers.jsonl", "keywords.jsonl", "vocabulary.json")
DIGEST = 16
"""Hexadecimal digits of sha256 before each line of a journal."""

Watch = Callable[[Iterable[Any], str], Iterable[Any]]
"""Passes an iterable through and shows its progress under a label."""


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
    require_writable(path, overwrite=True)
    if path.is_file() and not _holds(path, settings):
        if not overwrite:
            raise FileError(
                f"{folder} holds an unfinished run with other settings or captions. Run it again "
                "as it was to go on with it, or pass --overwrite to throw it away."
            )
        _clear(folder)
    if not path.is_file():
        with whole_file(path, PRIVATE) as temporary:
            temporary.write_text(json.dumps(settings), "utf-8")
    yield folder
    _clear(folder)


def _holds(path: Path, settings: Mapping[str, Any]) -> bool:
    """Whether a file has just these settings; damaged ones are other ones."""
    with suppress(FileError):
        return bool(read_json(path) == json.loads(json.dumps(settings)))
    return False


def _clear(folder: Path) -> None:
    """Remove what rtd wrote into a folder, and the folder, if nothing else is in it."""
    for name in OURS:
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


class Journal:
    """An append-only file of JSON lines, each with its hash. A last line that a crash has torn is
    cut off.

    Raises:
        FileError: the file cannot be read or written; while iterating, a line is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count, end = 0, 0
        try:
            path.touch()
            with path.open("rb") as stream:
                for line in stream:
                    if line.endswith(b"\n"):
                        self.count += 1
                        end += len(line)
            os.truncate(path, end)
        except OSError as error:
            raise self._unwritable(error) from error

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Any]:
        with self.path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                digest, _, text = line.rstrip(b"\n").partition(b" ")
                if digest.decode("latin-1") != _digest(text):
                    raise FileError(
                        f"{self.path}, line {number} is damaged. Remove {self.path.parent} and "
                        "run the same command again."
                    )
                yield parse_json(text, f"{self.path}, line {number}")

    @contextmanager
    def writing(self) -> Iterator[JournalWriter]:
        """Opened for appending.

        Raises:
            FileError: the disk is full; what was written before stays.
        """
        try:
            with self.path.open("ab") as stream:
                yield JournalWriter(self, stream)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> FileError:
        return FileError(
            f"{self.path} cannot be written: {error.strerror}. What is done is kept; free "
            "some space and run the same command again."
        )


class JournalWriter:
    """Appends rows to a journal."""

    def __init__(self, journal: Journal, stream: Any) -> None:
        self._journal, self._stream = journal, stream

    def append(self, row: Any) -> None:
        """One more line, which may wait in a buffer."""
        text = json.dumps(row).encode()
        self._stream.write(f"{_digest(text)} ".encode() + text + b"\n")
        self._journal.count += 1

    def flush(self) -> None:
        """Hand what was appended to the operating system; it survives the process."""
        self._stream.flush()


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:DIGEST]
