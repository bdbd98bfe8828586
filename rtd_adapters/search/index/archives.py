"""Pictures in zip and tar archives, read where they lie: nothing is ever unpacked to disk."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import IO, Protocol

from rtd_adapters.errors import FileError, first_line
from rtd_adapters.evaluation.folders import SUFFIXES
from rtd_adapters.search.index.records import Broken, Listing, State

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
LARGEST = 256 << 20
"""Bytes of a picture in an archive."""
EXPANSION, SPARED = 100, 256 << 20
"""How many times its own size an archive may expand to, and bytes that no archive is refused for:
photographs are compressed already, and what expands further is made to fill a memory."""
MOST = 2_000_000
"""Members of an archive."""
LONGEST = 1000
"""Bytes of a member's name."""
OPEN = 8
"""Archives that a process holds open."""


class Archive(Protocol):
    """An open archive."""

    def members(self) -> Iterator[tuple[str, State]]:
        """Every regular file's name and state, in the archive's order."""

    def expanded(self) -> int:
        """Bytes that are known, by now, to be in it."""

    def read(self, name: str) -> bytes:
        """A member's bytes, `LARGEST` at most and one more."""


def is_archive(name: str) -> bool:
    """Whether a file's name is an archive's."""
    return name.lower().endswith(ENDINGS)


def archive_listing(path: Path, id_: str) -> Listing:
    """The pictures in an archive; hidden files are passed over, as are archives within.

    Args:
        path: of the archive.
        id_: its own path below the indexed folder, which the pictures' ids begin with.
    """
    found = Listing()
    try:
        _list(path, id_, found)
    except FileError as error:
        return Listing(broken=[Broken(id_, str(error))])
    except Exception as error:  # zipfile and tarfile fail in many ways
        return Listing(broken=[Broken(id_, f"{id_} cannot be read ({first_line(error)}).")])
    return found


def archive_member(path: Path, name: str) -> IO[bytes]:
    """A member of an archive.

    Raises:
        FileError: the archive or the member is missing or damaged, or the member is too large.
    """
    try:
        about = path.stat()
        data = _opened(path, about.st_size, about.st_mtime_ns, os.getpid()).read(name)
    except Exception as error:
        raise FileError(f"{path}/{name} cannot be read ({first_line(error)}).") from error
    if len(data) > LARGEST:
        raise FileError(f"{path}/{name} has more than {LARGEST:,} bytes, which rtd does not read.")
    return io.BytesIO(data)


def _list(path: Path, id_: str, found: Listing) -> None:
    about = path.stat()
    archive = _opened(path, about.st_size, about.st_mtime_ns, os.getpid())
    most = EXPANSION * about.st_size + SPARED
    for count, (name, state) in enumerate(archive.members()):
        if archive.expanded() > most or count >= MOST:
            raise FileError(
                f"{id_} expands to more than {EXPANSION} times its size, or holds more than "
                f"{MOST:,} files, as no archive of pictures does. Unpack it yourself if you trust "
                "it."
            )
        parts = PurePosixPath(name).parts
        if not name.lower().endswith(SUFFIXES):
            continue
        if why := _unfit(name, state, parts):
            found.broken.append(Broken(f"{id_}/{name}", f"{id_}/{name} {why}"))
        elif not any(part.startswith(".") for part in parts):
            found.states[f"{id_}/{name}"] = state


def _unfit(name: str, state: State, parts: tuple[str, ...]) -> str | None:
    """Why a member is not to be read."""
    if name.startswith("/") or ".." in parts or "\0" in name:
        return "has a path that leads out of the archive."
    if any("\ud800" <= sign <= "\udfff" for sign in name) or len(name.encode()) > LONGEST:
        return "has a name that is not UTF-8, or too long a one."
    if state.size > LARGEST:
        return f"has more than {LARGEST:,} bytes, which rtd does not read."
    return None


@lru_cache(OPEN)
def _opened(path: Path, size: int, stamp: int, process: int) -> Archive:
    """An archive as it is now, for this process: forked ones would share a place in the file."""
    return Zip(path) if path.name.lower().endswith(".zip") else Tar(path, stamp)


class Zip:
    """A zip archive."""

    def __init__(self, path: Path) -> None:
        self._file = zipfile.ZipFile(path)
        self._expanded = sum(member.file_size for member in self._file.infolist())

    def members(self) -> Iterator[tuple[str, State]]:
        """As in `Archive`; of several of one name the last, as any reader takes it."""
        for name, member in self._file.NameToInfo.items():
            if not member.is_dir():
                yield name, State(member.file_size, member.CRC)

    def expanded(self) -> int:
        """As in `Archive`."""
        return self._expanded

    def read(self, name: str) -> bytes:
        """As in `Archive`."""
        with self._file.open(name) as file:
            return file.read(LARGEST + 1)


class Tar:
    """A tar archive, compressed or not. A compressed one is read from its beginning to where a
    member lies, so its members are best read in their order.

    Args:
        path: of the archive.
        stamp: its time, by which its members' states are known.
    """

    def __init__(self, path: Path, stamp: int) -> None:
        self._file = tarfile.open(path)  # noqa: SIM115  # as long as it is asked
        self._stamp = stamp
        self._lock = Lock()
        self._places: dict[str, tarfile.TarInfo] = {}
        self._end = 0

    def members(self) -> Iterator[tuple[str, State]]:
        """As in `Archive`."""
        members = iter(self._file)
        while True:
            with self._lock:
                member = next(members, None)
            if member is None:
                return
            self._end = member.offset_data + member.size
            if member.isfile():
                self._places[member.name] = member
                yield member.name, State(member.size, self._stamp)

    def expanded(self) -> int:
        """As in `Archive`."""
        return self._end

    def read(self, name: str) -> bytes:
        """As in `Archive`."""
        with self._lock:
            member = self._places.get(name) or self._file.getmember(name)
            file = self._file.extractfile(member)
            if file is None:
                raise ValueError("it is no regular file")
            return file.read(LARGEST + 1)
