"""Keeps what a long run has done, so that a broken one goes on where it stopped."""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

from rtd_adapters.errors import FileError
from rtd_adapters.io.atomic import require_writable, sweep, whole_file
from rtd_adapters.io.json_files import parse_json, read_json
from rtd_adapters.io.locks import claimed

CAPTIONS, ANSWERS, BATCHES = "captions.jsonl", "answers.jsonl", "batches.jsonl"
SETTINGS = "settings.json"
PRIVATE = 0o600
"""Mode of the settings, which name a server."""
OURS = (CAPTIONS, ANSWERS, BATCHES, SETTINGS)
"""All that rtd writes there. Settings go last: what is left without them fits no run."""

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
        FileError: `out` or an unfinished run is in the way, another run is at work, or the folder
            cannot be written.
    """
    folder = out.with_name(f"{out.name}.work")
    with claimed(out, folder):
        require_writable(out, overwrite=overwrite)
        require_writable(folder / SETTINGS, overwrite=True)
        if overwrite and not _fits(folder, settings):
            _discard(folder)
        _require_fitting(folder, settings)
        if not (folder / SETTINGS).is_file():
            with whole_file(folder / SETTINGS, PRIVATE) as temporary:
                temporary.write_text(json.dumps(settings), "utf-8")
        yield folder
        _discard(folder)


def _require_fitting(folder: Path, settings: Mapping[str, Any]) -> None:
    if not _fits(folder, settings):
        raise FileError(
            f"{folder} holds an unfinished run with other settings or captions, or damaged ones. "
            "Run it again as it was to go on with it, or pass --overwrite to throw it away."
        )


def _fits(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Whether a run with these settings may go on in the folder, or begin there."""
    if not any((folder / name).exists() for name in OURS):
        return True
    try:
        return bool(read_json(folder / SETTINGS) == json.loads(json.dumps(settings)))
    except FileError:
        return False


def _discard(folder: Path) -> None:
    """Delete what rtd wrote in the folder, and the folder if nothing else is in it."""
    if not folder.is_dir():
        return
    for name in OURS:
        sweep(folder / name)
        (folder / name).unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def seal(value: Any) -> str:
    """A value as a line of JSON, with a hash by which damage shows."""
    text = json.dumps(value)
    return f"{text}\t{_digest(text)}\n"  # a tab inside JSON is always written as \t


def unseal(line: bytes, source: str) -> Any:
    """The value in a line that `seal` made.

    Raises:
        FileError: the line is not as it was written; `source` is named.
    """
    text, _, digest = line.decode("utf-8", "replace").rstrip("\n").rpartition("\t")
    if digest != _digest(text):
        raise FileError(
            f"{source} is damaged. Put a copy in its place, or delete the folder to start anew."
        )
    return parse_json(text, source)


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()


class Journal:
    """An append-only file of sealed lines. A last line that a crash has torn is cut off.

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
                yield unseal(line, f"{self.path}, line {number}")

    def rows(self) -> JournalRows:
        """The rows, each of which is read when it is asked for."""
        return JournalRows(self.path)

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
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> FileError:
        return FileError(
            f"{self.path} cannot be written: {error.strerror}. What is done is kept; free "
            "some space and run the same command again."
        )


class JournalRows(Sequence[Any]):
    """The rows of a journal by their number, until the block ends; eight bytes of memory a row."""

    def __init__(self, path: Path) -> None:
        self._path, self._offsets = path, array("q")
        self._stream = path.open("rb")
        place = 0
        for line in self._stream:
            self._offsets.append(place)
            place += len(line)

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, number: Any) -> Any:
        self._stream.seek(self._offsets[number])
        return unseal(self._stream.readline(), f"{self._path}, line {number + 1}")

    def __enter__(self) -> JournalRows:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()


class JournalWriter:
    """Appends rows to a journal."""

    def __init__(self, journal: Journal, stream: Any) -> None:
        self._journal, self._stream = journal, stream

    def append(self, row: Any) -> None:
        """One more line, which may wait in a buffer."""
        self._stream.write(seal(row))
        self._journal.count += 1

    def flush(self) -> None:
        """Hand what was appended to the operating system; it survives the process."""
        self._stream.flush()
