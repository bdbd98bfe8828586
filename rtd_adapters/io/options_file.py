"""The options that a folder's files were made with, kept beside them for `--config`."""

from __future__ import annotations

from pathlib import Path

from rtd_adapters.errors import FileError
from rtd_adapters.io.atomic import whole_file

NAME = "rtd-options.yaml"
_HEAD = "# Options of this run, as rtd read them; --config takes this file.\n"
"""By which a file of ours is known."""


def keep_options(folder: Path, options: str) -> None:
    """Note in a folder what it was made with, in the place of what a run before it noted.

    Args:
        folder: of the run.
        options: YAML. Empty where nobody asked by options: then nothing is written.

    Raises:
        FileError: the disk refuses, or another's file has that name.
    """
    require_own_options(folder)
    if not options:
        return
    with whole_file(folder / NAME) as temporary:
        # A file's name may hold bytes that are no UTF-8; YAML reads \\udcNN as such.
        temporary.write_text(_HEAD + options, encoding="utf-8", errors="backslashreplace")


def require_own_options(folder: Path) -> None:
    """Check that no file of another's is in the way.

    Raises:
        FileError: there is one.
    """
    path = folder / NAME
    if path.exists() and not _is_ours(path):
        raise FileError(f"{path} is not of rtd. Move it away, or name another folder.")


def remove_options(folder: Path) -> None:
    """Delete what was noted; a file of another's stays."""
    if _is_ours(folder / NAME):
        (folder / NAME).unlink()


def _is_ours(path: Path) -> bool:
    head = _HEAD.encode()
    return path.is_file() and path.read_bytes()[: len(head)] == head
