"""Anchors on disk: embeddings of captions by one frozen tower, kept for later batches and runs.

A folder for each tower, and in it files that are written whole and never changed, so any number of
runs may share it: at worst two compute the same anchor and both keep it. Files are memory-mapped;
memory does not grow with them.

An anchor comes out of a pack with its neighbours, whose number moves its last bits. A run finds its
own anchors again as it first used them, so repeating or resuming it gives the same bits; a run that
finds another run's anchors differs from one without a cache by rounding.

Every record carries a checksum, without which a flipped bit would be trained on: a record that does
not fit its own counts as missing.
"""

from __future__ import annotations

import hashlib
import json
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rtd_adapters.errors import FileError, first_line
from rtd_adapters.io.atomic import whole_file
from rtd_adapters.io.cache import cache_root
from rtd_adapters.io.json_files import read_json

ROWS = 8192
"""Anchors that wait in memory before they are written; 25 MB at width 768."""
LAYOUT = "anchors-2"
"""Folder of all towers; the number goes up with every change to the records."""
EARLIER = ("anchors",)
"""Folders of earlier records, which are not read any more but listed and cleared."""
ABOUT = "about.json"
UNKNOWN = "unknown"


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
        fingerprint: of all that decides the tower's embeddings (`tower_identity`).
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
        self.folder = (root or cache_root()) / LAYOUT / fingerprint[:32]
        self._spelling = spelling or ""
        fields = [("key", "<u8", (2,)), ("vector", "<f4", (embed_dim,)), ("checksum", "<u8")]
        self._record = np.dtype(fields)
        self._about = {"backbone": backbone, "fingerprint": fingerprint}
        self._waiting: dict[tuple[int, int], Tensor] = {}
        self._warned = False
        self._files = [self._open(path) for path in sorted(self.folder.glob("*.npy"))]

    def find(self, captions: Sequence[str]) -> KeptAnchors:
        """The anchors that are there; a damaged one is not, which is said once."""
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
                record = file[places[row]]
                if hits[row] or not self._is_sound(record, file):
                    continue
                vectors[row] = torch.from_numpy(record["vector"].copy())
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
            records[row] = (key, self._waiting[key].numpy(), 0)
            records[row]["checksum"] = _checksum(records[row])
        path = self.folder / f"{uuid.uuid4().hex}.npy"
        with whole_file(self.folder / ABOUT) as temporary:
            temporary.write_text(json.dumps(self._about), encoding="utf-8")
        with whole_file(path) as temporary, temporary.open("wb") as stream:
            np.save(stream, records, allow_pickle=False)
        self._files.append(self._open(path))
        self._waiting.clear()

    def _open(self, path: Path) -> np.memmap:
        file = _open(path)
        if file.dtype != self._record or not len(file):
            raise FileError(f"{path} holds no anchors of this tower. Run `rtd cache clear`.")
        return file

    def _is_sound(self, record: np.void, file: np.memmap) -> bool:
        sound = _checksum(record) == record["checksum"]
        if not sound and not self._warned:
            warnings.warn(
                f"{file.filename} holds anchors that do not fit their checksums; they are computed "
                "again. Check the disk, then run `rtd cache clear`.",
                stacklevel=3,
            )
            self._warned = True
        return bool(sound)

    def _key(self, caption: str) -> tuple[int, int]:
        text = f"{self._spelling}\0{caption}".encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(text, digest_size=16).digest()
        return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def cached_towers() -> list[CachedTower]:
    """What the cache holds, a row for each tower.

    Raises:
        FileError: a file of anchors is damaged.
    """
    return [_describe(folder) for folder in _folders()]


def clear_cache() -> float:
    """Delete all anchors, and nothing else that lies there; returns the megabytes that were freed.

    A run that has them open goes on with them.
    """
    freed = 0.0
    for folder in _folders():
        freed += _megabytes(folder)
        for path in (*folder.glob("*.npy"), *folder.glob(".*.part"), folder / ABOUT):
            path.unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()
    return freed


def _folders() -> list[Path]:
    """Those of towers, whether or not what describes them is left."""
    owned = (
        path.parent
        for layout in (*EARLIER, LAYOUT)
        for pattern in (ABOUT, "*.npy")
        for path in (cache_root() / layout).glob(f"*/{pattern}")
    )
    return sorted(set(owned))


def _describe(folder: Path) -> CachedTower:
    captions = sum(len(_open(path)) for path in folder.glob("*.npy"))
    try:
        about = read_json(folder / ABOUT)
    except FileError:
        about = None
    backbone, fingerprint = (
        _text(about, name, otherwise)
        for name, otherwise in (("backbone", UNKNOWN), ("fingerprint", folder.name))
    )
    return CachedTower(backbone, fingerprint, captions, _megabytes(folder))


def _text(about: object, name: str, otherwise: str) -> str:
    """What a tower's description says, where it is whole enough to be shown."""
    value = about.get(name) if isinstance(about, dict) else None
    return value if isinstance(value, str) and value.isprintable() else otherwise


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.glob("*.npy")) / 1e6


def _checksum(record: np.void) -> int:
    """Of a record's key and vector, 64 bits of blake2b."""
    content = record["key"].tobytes() + record["vector"].tobytes()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def _open(path: Path) -> np.memmap:
    try:
        file = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # on damaged bytes numpy's reader fails with anything there is
        raise FileError(
            f"{path} is damaged: {first_line(error)}. Run `rtd cache clear`."
        ) from error
    if file.ndim != 1:
        raise FileError(f"{path} is damaged: it is no list. Run `rtd cache clear`.")
    return file
