"""The list of files that rtd wrote into a folder: what it may delete of it again."""

from __future__ import annotations

import json
from pathlib import Path

from rtd_adapters.errors import FileError

NAME = ".rtd-files.json"
SHOWN = 3


def write_manifest(folder: Path) -> None:
    """List every file that is in a folder, in the folder."""
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    (folder / NAME).write_text(json.dumps({"files": files}, indent=1), encoding="utf-8")


def require_ours(folder: Path) -> None:
    """Check that rtd wrote everything in a folder, so that it may be replaced whole.

    Raises:
        FileError: something in it is somebody else's; the first few are named.
    """
    known = {NAME, *_listed(folder)}
    entries = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    foreign = sorted(name for e in entries if (name := str(e.relative_to(folder))) not in known)
    if foreign:
        more = f" and {len(foreign) - SHOWN} more" if len(foreign) > SHOWN else ""
        raise FileError(
            f"{folder} holds files that rtd did not write ({', '.join(foreign[:SHOWN])}{more}); "
            "it replaces no folder with such. Move them away, or name another folder."
        )


def _listed(folder: Path) -> list[str]:
    """What the folder's list names; nothing where there is none, or a damaged one."""
    try:
        files = json.loads((folder / NAME).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []
    return [name for name in files if isinstance(name, str)] if isinstance(files, list) else []
