"""Files and folders that are written whole or not at all, and replace nothing that is not ours."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from rtd_adapters.errors import FileError
from rtd_adapters.io.manifest import require_ours, write_manifest
from rtd_adapters.io.names import stem

FILE_MODE = 0o644
FOLDER_MODE = 0o755
PART, ASIDE = ".part", ".old"
PROBE = 1 << 20
"""Bytes that a disk takes which is not full."""
EXCHANGE = 2
"""RENAME_EXCHANGE of Linux's renameat2: two names change places in one step."""


def require_writable(path: Path, *, overwrite: bool) -> None:
    """Check, before any work is spent, that `path` may be written.

    Raises:
        FileError: the path exists and `overwrite` is off, is no regular file, has too long a name,
            or its folder cannot be written.
    """
    try:
        if os.path.lexists(path) and not overwrite:
            raise FileError(
                f"{path} exists already. Pass --overwrite (overwrite=True) to replace it."
            )
        target = _followed(path)
        _require_regular(path, target)
        folder = _nearest_existing(target.parent)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise FileError(
            f"{path} cannot be written: {error.strerror} in {error.filename or path.parent}. "
            "Choose another path."
        ) from error


def require_new_folder(path: Path, *, overwrite: bool) -> None:
    """Check, before any work is spent, that a folder may be written at `path`.

    Raises:
        FileError: it is a file, or is not empty and `overwrite` is off, or holds files that rtd
            did not write.
    """
    if os.path.lexists(path) and not path.is_dir():
        raise FileError(f"{path} is a file. Name a folder.")
    _restore(path)
    if path.is_dir() and any(path.iterdir()):
        if not overwrite:
            raise FileError(
                f"{path} is not empty. Pass --overwrite (overwrite=True) to replace it."
            )
        require_ours(path)


@contextmanager
def whole_file(path: Path, mode: int = FILE_MODE) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` when the block ends well, and vanishes otherwise.

    The temporary file lies in the same folder, is flushed to disk before the rename, and gets
    `mode`, so a reader sees either the old file or the complete new one. Through a symbolic
    link the file that it points to is written. What killed runs left of theirs is swept.

    Raises:
        FileError: the file system refuses (full disk, permission), or `path` is no regular file.
    """
    path = Path(path)
    try:
        target = _followed(path)
        _require_regular(path, target)
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=_prefix(target), suffix=PART)
        os.close(handle)
    except OSError as error:
        raise FileError(
            f"{path} cannot be written: {error.strerror}. Choose another path."
        ) from error
    temporary = Path(name)
    try:
        yield temporary
        _flush(temporary)
        temporary.chmod(mode)
        temporary.replace(target)
        _flush(target.parent)
    except Exception as error:
        _raise_if_refused(path, temporary.parent, error)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that takes the place of `path` when the block ends well.

    The folder carries a list of its files. An older folder is replaced only if its own list names
    all that is in it; on Linux the two change places in one step, so that a complete folder bears
    the name at every moment.

    Raises:
        FileError: the file system refuses (full disk, permission), or the older folder holds files
            that rtd did not write.
    """
    path = Path(path)
    try:
        target = _followed(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        _restore(target)
        sweep(target)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=_prefix(target), suffix=PART))
    except OSError as error:
        raise FileError(
            f"{path} cannot be written: {error.strerror}. Choose another path."
        ) from error
    try:
        yield temporary
        write_manifest(temporary)
        _flush_tree(temporary)
        _take_place(temporary, target)
        _flush(target.parent)
    except Exception as error:
        _raise_if_refused(path, temporary.parent, error)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sweep(path: Path) -> None:
    """Remove what killed processes of this machine left half-written beside `path`."""
    here = _host()
    for left in path.parent.glob(f".{_escaped(stem(path.name))}.*{PART}"):
        host, _, rest = left.name.removeprefix(f".{stem(path.name)}.").partition("-")
        pid = rest.partition("-")[0]
        if host == here and pid.isdigit() and not psutil.pid_exists(int(pid)):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def _take_place(temporary: Path, path: Path) -> None:
    """Give `temporary` the name `path`; an older folder of ours goes."""
    if not path.exists():
        temporary.rename(path)
        return
    require_ours(path)
    if _exchange(temporary, path):
        return  # what was there bears the temporary name now, and is removed with it
    aside = _aside(path)
    path.rename(aside)
    temporary.rename(path)
    shutil.rmtree(aside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places in one step; False where the system cannot."""
    if sys.platform != "linux":
        return False
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    names = os.fsencode(one.absolute()), os.fsencode(other.absolute())
    # Folders that relative names would begin at come before the names, which are absolute.
    return renameat2 is not None and renameat2(0, names[0], 0, names[1], EXCHANGE) == 0


def _aside(path: Path) -> Path:
    """Where an older folder waits while the new one takes its name."""
    return path.with_name(f".{stem(path.name)}{ASIDE}")


def _restore(path: Path) -> None:
    """Give a folder its name back that a killed process had set aside."""
    aside = _aside(path)
    if aside.is_dir() and not path.exists():
        aside.rename(path)


def _followed(path: Path) -> Path:
    """Where a path leads through symbolic links, so that the link stays and its target is written.

    Raises:
        FileError: the links go round in a circle.
    """
    if not path.is_symlink():
        return path
    # Path.resolve tells a circle by an error in some Pythons and not in others.
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise FileError(f"{path} is a symbolic link that leads nowhere. Remove it.")
    return target


def _require_regular(path: Path, target: Path) -> None:
    """Refuse to replace what is no ordinary file: a folder, a device, a pipe.

    Raises:
        FileError: it is none.
    """
    if not target.exists():
        return
    mode = target.stat().st_mode
    if stat.S_ISDIR(mode):
        raise FileError(f"{path} is a folder. Name a file inside it.")
    if not stat.S_ISREG(mode):
        raise FileError(f"{path} is no ordinary file but a device or a pipe. Name a file.")


def _prefix(path: Path) -> str:
    """Of a temporary name: whose it is, and which process of which machine writes it."""
    return f".{stem(path.name)}.{_host()}-{os.getpid()}-"


def _host() -> str:
    """This machine's name, without the signs that part a temporary name."""
    return "".join(c for c in socket.gethostname() if c.isalnum())[:32] or "here"


def _escaped(name: str) -> str:
    """A name as a glob pattern that matches it alone."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _raise_if_refused(path: Path, folder: Path, error: Exception) -> None:
    """Say that the file system refused, if it was that which ended the writing of `path`.

    Raises:
        FileError: it was.
    """
    refusal = error if isinstance(error, OSError) else system_error(error) or _refusal(folder)
    if refusal is not None:
        raise FileError(
            f"{path} was not written: {refusal.strerror or refusal}. Nothing was left behind; "
            "free some space or choose another path."
        ) from error


def system_error(error: Exception) -> OSError | None:
    """The system's error that a library written in Rust puts into words of its own, if it is one.

    safetensors and LanceDB do.
    """
    number = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(number[1]), os.strerror(int(number[1]))) if number else None


def _refusal(folder: Path) -> OSError | None:
    """Why a folder takes no further data; None if it does. torch's own errors do not tell."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(PROBE))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return error
    return None


def _flush_tree(folder: Path) -> None:
    """Settle modes and push everything below a folder to disk, folders last."""
    entries = sorted(folder.rglob("*"))
    for entry in entries:
        if entry.is_file():
            entry.chmod(FILE_MODE)
            _flush(entry)
    for entry in (*(e for e in reversed(entries) if e.is_dir()), folder):
        entry.chmod(FOLDER_MODE)
        _flush(entry)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _nearest_existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
