"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rtd_adapters.errors import FileError

FILE_MODE = 0o644


def require_writable(path: Path, *, overwrite: bool) -> None:
    """Check, before any work is spent, that `path` may be written.

    Raises:
        FileError: the path exists and `overwrite` is off, or its folder cannot be written.
    """
    if path.exists() and not overwrite:
        raise FileError(f"{path} exists already. Pass --overwrite (overwrite=True) to replace it.")
    if path.is_dir():
        raise FileError(f"{path} is a folder. Name a file inside it.")
    folder = _nearest_existing(path.parent)
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise FileError(
            f"{path} cannot be written: {error.strerror} in {folder}. Choose another path."
        ) from error


def require_new_folder(path: Path, *, overwrite: bool) -> None:
    """Check, before any work is spent, that a folder may be written at `path`.

    Raises:
        FileError: it exists and is not empty and `overwrite` is off, or is a file.
    """
    if path.is_file():
        raise FileError(f"{path} is a file. Name a folder.")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise FileError(f"{path} is not empty. Pass --overwrite (overwrite=True) to replace it.")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` when the block ends well, and vanishes otherwise.

    The temporary file lies in the same folder, is flushed to disk before the rename, and gets
    mode 0644, so a reader sees either the old file or the complete new one.

    Raises:
        FileError: the file system refuses (full disk, permission).
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
    except OSError as error:
        raise FileError(
            f"{path} cannot be written: {error.strerror}. Choose another path."
        ) from error
    temporary = Path(name)
    try:
        yield temporary
        _flush(temporary)
        temporary.chmod(FILE_MODE)
        temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        raise FileError(
            f"{path} was not written: {error.strerror or error}. Nothing was left behind; "
            "free some space or choose another path."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that takes the place of `path` when the block ends well.

    Raises:
        FileError: the file system refuses (full disk, permission).
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
    except OSError as error:
        raise FileError(
            f"{path} cannot be written: {error.strerror}. Choose another path."
        ) from error
    try:
        yield temporary
        for entry in sorted(temporary.rglob("*")):
            if entry.is_file():
                entry.chmod(FILE_MODE)
                _flush(entry)
        temporary.chmod(0o755)
        _take_place(temporary, path)
    except OSError as error:
        raise FileError(
            f"{path} was not written: {error.strerror or error}. Nothing was left behind; "
            "free some space or choose another path."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _take_place(temporary: Path, path: Path) -> None:
    """Rename `temporary` to `path`; an older folder is set aside first and removed last."""
    if not path.exists():
        temporary.rename(path)
        return
    aside = path.with_name(f".{path.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    path.rename(aside)
    temporary.rename(path)
    shutil.rmtree(aside, ignore_errors=True)


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
