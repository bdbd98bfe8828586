"""Picture embeddings on disk: a list's whole, or shards of it, as far as a run has come."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from rtd_adapters.errors import FileError
from rtd_adapters.evaluation.rows import Mapped
from rtd_adapters.io.atomic import PART, sweep
from rtd_adapters.io.cache import cache_root
from rtd_adapters.io.row_files import map_rows, write_rows

WHOLE, SHARD = ".safetensors", ".shard"
"""How the names of files end."""


class _Lost(Exception):
    """A shard is gone or damaged."""


@dataclass(frozen=True)
class KeptEmbeddings:
    """The embeddings of one list of pictures.

    Args:
        folder: of all lists.
        key: of this one, and of everything its embeddings depend on.
        shape: number of pictures, and embed_dim.
    """

    folder: Path
    key: str
    shape: tuple[int, int]

    def whole(self) -> Mapped | None:
        """All of the list, once it is merged; None where there is nothing, or something damaged,
        which is said."""
        rows = self._read(self._list, self.shape[0])
        return None if rows is None else Mapped(rows)

    def has_shard(self, part: range) -> bool:
        """Whether the embeddings of the pictures at some places are there; damage is said."""
        return self._read(self._place(part), len(part)) is not None

    def keep_shard(self, part: range, embeddings: Tensor) -> None:
        """Write the embeddings of the pictures at some places of the list.

        Raises:
            FileError: the disk refuses.
        """
        write_rows(self._place(part), (len(part), self.shape[1]), [embeddings.numpy()])

    def merge(self, parts: Sequence[range]) -> None:
        """Write all of the list from its shards, one after another, if all of them are there.

        Damage is said, as in `whole`, which tells what has become of it.

        Raises:
            FileError: the disk refuses.
        """
        with suppress(_Lost):
            write_rows(self._list, self.shape, map(self._required, parts))

    def drop_shards(self) -> None:
        """Remove the list's shards."""
        for path in self.folder.glob(f"{self.key}.*{SHARD}"):
            path.unlink(missing_ok=True)

    @property
    def _list(self) -> Path:
        return self.folder / f"{self.key}{WHOLE}"

    def _place(self, part: range) -> Path:
        return self.folder / f"{self.key}.{part.start}-{part.stop}{SHARD}"

    def _required(self, part: range) -> np.ndarray:
        rows = self._read(self._place(part), len(part))
        if rows is None:
            raise _Lost
        return rows

    def _read(self, path: Path, length: int) -> np.ndarray | None:
        """[length, embed_dim] of a file; None as in `whole`."""
        if not path.is_file():
            return None
        try:
            rows = map_rows(path)
        except FileError:
            rows = None
        if rows is not None and rows.shape == (length, self.shape[1]):
            return rows
        warnings.warn(
            f"{path} does not hold what was written there; its pictures are embedded again. "
            "Check the disk.",
            stacklevel=7,  # whoever asks `Pictures`
        )
        return None


@dataclass(frozen=True)
class KeptPictures:
    """What lies on disk of all lists, as `rtd cache list` shows it."""

    lists: int
    """Whole ones."""
    unfinished: int
    """Those of which there are shards only."""
    megabytes: float


def pictures_folder() -> Path:
    """Where embeddings are kept."""
    return cache_root() / "pictures"


def kept_pictures() -> KeptPictures:
    """What the cache holds of pictures."""
    files = _files()
    whole = {_key(path) for path in files if path.suffix == WHOLE}
    unfinished = {_key(path) for path in files} - whole
    return KeptPictures(len(whole), len(unfinished), _megabytes(files))


def clear_pictures() -> float:
    """Delete all embeddings, and nothing else that lies there; returns the megabytes freed.

    A run that is at work goes on; what killed ones left half-written goes too.
    """
    files = _files()
    freed = _megabytes(files)
    for path in files:
        path.unlink(missing_ok=True)
    for left in pictures_folder().glob(f".*{PART}"):
        sweep(left.with_name(left.name[1:].rsplit(".", 2)[0]))
    return freed


def _files() -> list[Path]:
    return [path for end in (WHOLE, SHARD) for path in pictures_folder().glob(f"*{end}")]


def _key(path: Path) -> str:
    return path.name.partition(".")[0]


def _megabytes(files: list[Path]) -> float:
    return sum(path.stat().st_size for path in files) / 1e6
