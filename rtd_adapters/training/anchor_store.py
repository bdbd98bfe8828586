"""Anchors on disk: embeddings of captions by one frozen tower, kept for later batches and runs.

A folder for each tower, and in it files that are written whole and never changed, so any number of
runs may share it: at worst two compute the same anchor and both keep it. Files are memory-mapped;
memory does not grow with them.

An anchor comes out of a pack with its neighbours, whose number moves its last bits. A run finds its
own anchors again as it first used them, so repeating or resuming it gives the same bits; a run that
finds another run's anchors differs from one without a cache by rounding.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rtd_adapters.errors import FileError
from rtd_adapters.io.atomic import whole_file
from rtd_adapters.io.cache import cache_root

ROWS = 8192
"""Anchors that wait in memory before they are written; 25 MB at width 768."""
ABOUT = "about.json"


@dataclass(frozen=True)
class KeptAnchors:
    """What a store holds of some captions."""

    hits: list[bool]
    vectors: Tensor
    """[N, embed_dim]; zero where there was none."""


@dataclass(frozen=True)
class CachedTower:
    """One tower's folder, as `rtd cache list` shows it."""

    backbone: str
    fingerprint: str
    captions: int
    megabytes: float


class AnchorStore:
    """The anchors of one tower.

    Args:
        fingerprint: of the tower.
        embed_dim: of its embeddings.
        backbone: its name, for people.
        spelling: what else decides a caption's tokens: the method's added token.
        root: where the towers' folders lie.
    """

    def __init__(
        self,
        fingerprint: str,
        embed_dim: int,
        backbone: str,
        spelling: str | None = None,
        root: Path | None = None,
    ) -> None:
        self.folder = (root or cache_root()) / "anchors" / fingerprint[:32]
        self._spelling = spelling or ""
        self._record = np.dtype([("key", "<u8", (2,)), ("vector", "<f4", (embed_dim,))])
        self._about = {"backbone": backbone, "fingerprint": fingerprint}
        self._waiting: dict[tuple[int, int], Tensor] = {}
        self._files = [self._open(path) for path in sorted(self.folder.glob("*.npy"))]

    def find(self, captions: Sequence[str]) -> KeptAnchors:
        """The anchors that are there."""
        keys = [self._key(caption) for caption in captions]
        vectors = torch.zeros(len(keys), *self._record["vector"].shape)
        hits = [False] * len(keys)
        for row, key in enumerate(keys):
            if key in self._waiting:
                vectors[row], hits[row] = self._waiting[key], True
        wanted = np.array(keys, dtype=np.uint64).reshape(-1, 2)
        for file in self._files:
            places = np.minimum(np.searchsorted(file["key"][:, 0], wanted[:, 0]), len(file) - 1)
            for row in (file["key"][places] == wanted).all(axis=1).nonzero()[0]:
                if not hits[row]:
                    vectors[row] = torch.from_numpy(file["vector"][places[row]].copy())
                    hits[row] = True
        return KeptAnchors(hits, vectors)

    def add(self, captions: Sequence[str], vectors: Tensor) -> None:
        """Keep further anchors; they are written when enough have come together.

        Raises:
            FileError: the disk refuses.
        """
        for caption, vector in zip(captions, vectors, strict=True):
            self._waiting[self._key(caption)] = vector
        if len(self._waiting) >= ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what waits.

        Raises:
            FileError: the disk refuses.
        """
        if not self._waiting:
            return
        records = np.empty(len(self._waiting), dtype=self._record)
        for row, key in enumerate(sorted(self._waiting)):
            records[row] = (key, self._waiting[key].numpy())
        path = self.folder / f"{uuid.uuid4().hex}.npy"
        with whole_file(self.folder / ABOUT) as temporary:
            temporary.write_text(json.dumps(self._about), encoding="utf-8")
        with whole_file(path) as temporary, temporary.open("wb") as stream:
            np.save(stream, records, allow_pickle=False)
        self._files.append(self._open(path))
        self._waiting.clear()

    def _open(self, path: Path) -> np.ndarray:
        file = _open(path)
        if file.dtype != self._record or not len(file):
            raise FileError(f"{path} holds no anchors of this tower. Run `rtd cache clear`.")
        return file

    def _key(self, caption: str) -> tuple[int, int]:
        text = f"{self._spelling}\0{caption}".encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(text, digest_size=16).digest()
        return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def cached_towers() -> list[CachedTower]:
    """What the cache holds, a row for each tower."""
    return [_describe(folder) for folder in _folders()]


def clear_cache() -> float:
    """Delete all anchors; returns the megabytes that were freed.

    A run that has them open goes on with them.
    """
    freed = 0.0
    for folder in _folders():
        freed += _megabytes(folder)
        shutil.rmtree(folder, ignore_errors=True)
    return freed


def _folders() -> list[Path]:
    return sorted(path.parent for path in (cache_root() / "anchors").glob(f"*/{ABOUT}"))


def _describe(folder: Path) -> CachedTower:
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    captions = sum(len(_open(path)) for path in folder.glob("*.npy"))
    return CachedTower(about["backbone"], about["fingerprint"], captions, _megabytes(folder))


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.glob("*.npy")) / 1e6


def _open(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise FileError(f"{path} is damaged: {error}. Run `rtd cache clear`.") from error
