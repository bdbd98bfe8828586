"""Pictures in a folder of one's own: which files are pictures, and none from outside."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from rtd_adapters.errors import FileError

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Of pictures; other files are passed over."""


def picture_tree(root: Path, folder: Path, endings: tuple[str, ...] = SUFFIXES) -> tuple[str, ...]:
    """Paths below the root of all pictures in a folder and the folders in it, sorted.

    Args:
        root: that the paths begin at.
        folder: the root, or one below it.
        endings: of the names of files that are wanted, in lower case.

    Hidden files and folders are passed over.

    Raises:
        FileError: a folder cannot be read or is a link, or a name is no text.
    """

    def refuse(error: OSError) -> None:
        raise FileError(f"{error.filename} cannot be read: {error.strerror}.") from error

    found = []
    for where, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        here = Path(where).relative_to(root)
        if linked := [name for name in folders if (root / here / name).is_symlink()]:
            raise FileError(
                f"{root / here / linked[0]} is a link to a folder, and links are not followed. Put "
                "the folder itself there."
            )
        shown = [name for name in files if not name.startswith(".")]
        found += [(here / n).as_posix() for n in shown if n.lower().endswith(endings)]
    for path in found:
        if any("\ud800" <= sign <= "\udfff" for sign in path):
            raise FileError(f"{path!a} in {root} has a name that is not UTF-8. Rename it.")
    return tuple(sorted(found))


class OwnFiles:
    """Files that must really lie below a folder, wherever links lead."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._parent = cache(Path.resolve)

    def leaves(self, path: Path) -> bool:
        """Whether a path below the folder leads out of it."""
        real = path.resolve() if path.is_symlink() else self._parent(path.parent) / path.name
        return not real.is_relative_to(self._root)
