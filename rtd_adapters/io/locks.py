"""One run at a time writes a place: locks that name their holder and die with it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rtd_adapters.errors import FileError
from rtd_adapters.io.json_files import read_json
from rtd_adapters.io.names import stem

if TYPE_CHECKING:
    from filelock import BaseFileLock


@contextmanager
def claimed(*places: Path) -> Iterator[None]:
    """Hold several places for the length of a block, so that no other run writes them.

    A place is a file or folder that need not exist yet. The lock is the operating system's own
    (flock, by filelock), so a killed holder's is free at once; the small file beside the place is
    only its handle.

    Raises:
        FileError: another run holds one; its process and machine are named.
    """
    with ExitStack() as stack:
        for place in sorted({Path(os.path.realpath(place)) for place in places}):
            stack.enter_context(_claim(place))
        yield


@contextmanager
def _claim(place: Path) -> Iterator[None]:
    from filelock import FileLock

    handle = place.with_name(f".{stem(place.name)}.lock")
    holder = place.with_name(f".{stem(place.name)}.holder")
    lock = FileLock(handle, timeout=0)
    try:
        _take(lock, place, holder)
        _say_who_holds(holder, place)
        yield
    finally:
        try:
            _let_go(lock, handle, holder)
        except BaseException:  # a signal in the middle of it
            _let_go(lock, handle, holder)
            raise


def _take(lock: BaseFileLock, place: Path, holder: Path) -> None:
    from filelock import Timeout

    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise FileError(
            f"{place} is being written by another run ({_described(holder)}). Wait for it, stop "
            "it, or name another place."
        ) from error
    except OSError as error:
        raise _refused(place, error) from error


def _let_go(lock: BaseFileLock, handle: Path, holder: Path) -> None:
    """Remove what lies beside a place, if this process holds it; may be called again."""
    if not lock.is_locked:
        return
    holder.unlink(missing_ok=True)
    # Unlinked while it is held: whoever opens the name later makes a file of its own.
    handle.unlink(missing_ok=True)
    lock.release()


def _say_who_holds(holder: Path, place: Path) -> None:
    about = {"pid": os.getpid(), "host": socket.gethostname()}
    try:
        holder.write_text(json.dumps(about), encoding="utf-8")
    except OSError as error:
        raise _refused(place, error) from error


def _refused(place: Path, error: OSError) -> FileError:
    return FileError(f"{place} cannot be written: {error.strerror}. Choose another path.")


def _described(holder: Path) -> str:
    """Who holds a place, as far as the holder has said."""
    try:
        about = read_json(holder)
        return f"process {about['pid']} on {about['host']}"
    except (FileError, KeyError, TypeError):
        return "which has not said who it is"
