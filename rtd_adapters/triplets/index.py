"""Indexes of triplet files, kept in the cache: where each row is, found without parsing any.

An index is written whole, once for a file, and found again by the file's path. It is used as long
as the file has the size, the time of change and the samples of content that it had, and the index
itself hashes to what was written; otherwise it is made anew. Compressed files and columns are kept
unpacked beside it, for neither can be read row by row.
"""

from __future__ import annotations

import hashlib
import json
import random
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from rtd_adapters.errors import FileError
from rtd_adapters.io.atomic import whole_folder
from rtd_adapters.io.cache import cache_root
from rtd_adapters.io.hashes import file_sha256
from rtd_adapters.io.json_files import read_json
from rtd_adapters.io.manifest import NAME as MANIFEST
from rtd_adapters.triplets.columns import FIELDS, Columns
from rtd_adapters.triplets.formats import LIST
from rtd_adapters.triplets.indexed import (
    Bytes,
    ColumnTriplets,
    IndexedTriplets,
    State,
    TextTriplets,
)
from rtd_adapters.triplets.indexing import (
    COLUMNS,
    ENDS,
    FILES,
    PLACES,
    TEXTS,
    UNPACKED,
    Writer,
    fill,
)

LAYOUT = "triplets-1"
"""Folder of all indexes; the number goes up with every change to them."""
ABOUT = "about.json"
SAMPLES, SAMPLE = 64, 4096
"""How many places of a file are looked at to know it again, and how many bytes at each."""


@dataclass(frozen=True)
class About:
    """What an index says of itself."""

    file: str
    """That it is of."""
    state: dict[str, int]
    """The file's, see `State`."""
    samples: str
    """Hash of samples of its content."""
    sha256: str
    """Of its bytes."""
    form: str
    names: list[str]
    """Of the columns, where it has some."""
    files: dict[str, str]
    """The index's own, and sha256 of their bytes."""

    @property
    def check(self) -> str:
        """Hash of all this."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def index_folder(path: Path, columns: Columns | None) -> Path:
    """Where the index of a file lies, read with these columns."""
    named = sorted(columns.items()) if columns else None
    key = hashlib.sha256(f"{path.resolve()}\0{named}".encode("utf-8", "surrogateescape"))
    return cache_root() / LAYOUT / key.hexdigest()[:32]


def find_index(path: Path, columns: Columns | None) -> About | None:
    """The index of a file, if there is one, it is whole, and the file is still what it was."""
    folder = index_folder(path, columns)
    try:
        kept = read_json(folder / ABOUT)
        about = About(**kept["about"])
        if kept["check"] != about.check or about.file != str(path.resolve()):
            return None
        if about.state != asdict(State.of(path)) or about.samples != sampled(path):
            return None
        whole = all(file_sha256(folder / name) == own for name, own in about.files.items())
    except (FileError, OSError, TypeError, KeyError, ValueError):
        return None
    return about if whole else None


def make_index(path: Path, columns: Columns | None) -> About:
    """Make a file's index, in one pass and bounded memory; it takes the place of an older one.

    Raises:
        Unscannable: the file is of no form that can be read row by row, or not well-formed.
        FileError: the cache cannot be written, or the file changes meanwhile.
    """
    state, samples = State.of(path), sampled(path)
    with whole_folder(index_folder(path, columns)) as temporary:
        with closing(Writer(temporary)) as writer:
            form, names, sha256 = fill(path, columns, writer)
        if State.of(path) != state:
            raise FileError(f"{path} was changed while it was read. Start again when it is whole.")
        own = str(path.resolve())
        about = About(own, asdict(state), samples, sha256, form, list(names), writer.files())
        kept = {"about": asdict(about), "check": about.check}
        (temporary / ABOUT).write_text(json.dumps(kept), encoding="utf-8")
    return about


def open_index(about: About, columns: Columns | None, source: str) -> IndexedTriplets:
    """The triplets of a file whose index was found or made; `source` is its name in messages.

    Raises:
        FileError: the file or its index is not there any more.
    """
    path = Path(about.file)
    folder = index_folder(path, columns)

    def places(name: str) -> np.ndarray:
        try:
            return np.memmap(folder / name, "<u8", "r")
        except (OSError, ValueError) as error:
            raise FileError(f"{folder / name} is gone. Start again; it is made anew.") from error

    def content(name: str) -> Bytes:
        return Bytes(folder / name)

    if about.form == COLUMNS:
        found: IndexedTriplets = ColumnTriplets(
            [content(f"{field}-{TEXTS}") for field in FIELDS],
            [places(f"{field}-{ENDS}") for field in FIELDS],
            about.names,
        )
    else:
        text = content(UNPACKED) if UNPACKED in about.files else Bytes(path, State(**about.state))
        found = TextTriplets(text, places(PLACES), about.form == LIST, columns)
    found.source, found.sha256 = source, about.sha256
    found.again = partial(open_index, about, columns, source)
    return found


def sampled(path: Path) -> str:
    """A hash of what stands at some places of a file, its beginning and its end among them.

    Raises:
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    draw = random.Random(size)
    places = [0, max(0, size - SAMPLE), *(draw.randrange(max(1, size)) for _ in range(SAMPLES))]
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as stream:
        for place in places:
            stream.seek(place)
            digest.update(stream.read(SAMPLE))
    return digest.hexdigest()


@dataclass(frozen=True)
class KeptIndexes:
    """What lies on disk, as `rtd cache list` shows it."""

    files: int
    megabytes: float


def kept_indexes() -> KeptIndexes:
    """The indexes that the cache holds."""
    folders = _folders()
    return KeptIndexes(len(folders), sum(map(_megabytes, folders)))


def clear_indexes() -> float:
    """Delete all indexes, and nothing else that lies there; returns the megabytes freed.

    A run that has one open goes on with it.
    """
    freed = 0.0
    for folder in _folders():
        freed += _megabytes(folder)
        for path in (*(folder / name for name in FILES), folder / ABOUT, folder / MANIFEST):
            path.unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()
    return freed


def _folders() -> list[Path]:
    return sorted(path.parent for path in (cache_root() / LAYOUT).glob(f"[0-9a-f]*/{ABOUT}"))


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir() if path.name in FILES) / 1e6
