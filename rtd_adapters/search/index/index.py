"""An index as others ask it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from rtd_adapters.errors import FileError
from rtd_adapters.search.index.card import Saved
from rtd_adapters.search.index.pictures import source_named
from rtd_adapters.search.index.places import store_at
from rtd_adapters.search.index.records import Entry, Hit, IndexCard, UnknownEntryError
from rtd_adapters.search.index.store import Store

if TYPE_CHECKING:
    from PIL.Image import Image

Found = TypeVar("Found")


class Index:
    """Pictures, embedded by one image tower; may be asked from several threads at once."""

    def __init__(self, saved: Saved, store: Store) -> None:
        self._store = store
        self._source = source_named(saved.source)
        self.card: IndexCard = saved.counted(store.count())

    @classmethod
    def open(cls, where: str | Path) -> Index:
        """Open an index for reading.

        Args:
            where: the folder that `rtd index --out` made, or the address that `--store` named.

        Raises:
            FileError: there is none, it is damaged or of a newer version, or the store is down.
            UsageError: the store's library is not installed.
        """
        store = store_at(where)
        if (saved := store.card()) is None:
            raise FileError(f"{where} holds no index. Make one: rtd index FOLDER --out {where}")
        return cls(saved, store)

    def search(self, vectors: np.ndarray, k: int, *, exact: bool = True) -> list[list[Hit]]:
        """The nearest pictures, best first.

        Args:
            vectors: [Q, embed_dim] unit queries in fp32.
            k: how many for each; fewer where the index holds fewer.
            exact: compare with every picture; without it only with those that the engine's own
                index finds near.

        Raises:
            ValueError: the vectors are of another length.
            FileError: the store cannot be read.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.card.embed_dim:
            raise ValueError(f"[Q, {self.card.embed_dim}] queries wanted, not {vectors.shape}")
        if not len(vectors) or k < 1:
            return [[] for _ in vectors]
        return self._store.search(vectors.astype(np.float32, copy=False), k, exact=exact)

    def entry(self, id_: str) -> Entry:
        """What is known of a picture.

        Raises:
            UnknownEntryError: it is not in the index.
        """
        (entry,) = self._each([id_], self._store.entries([id_]))
        return self._placed(entry)

    def embeddings(self, ids: Sequence[str]) -> np.ndarray:
        """[N, embed_dim] in fp32 as the image tower gave them, not normalised.

        Raises:
            UnknownEntryError: one is not in the index.
        """
        rows = self._each(ids, self._store.embeddings(ids))
        return np.stack(rows) if rows else np.empty((0, self.card.embed_dim), np.float32)

    def thumbnail(self, id_: str) -> bytes:
        """A JPEG whose longest side has 256 pixels at most.

        Raises:
            UnknownEntryError: the picture is not in the index.
        """
        (small,) = self._each([id_], self._store.thumbnails([id_]))
        return small

    def open_picture(self, id_: str) -> Image:
        """The original in RGB, upright.

        Raises:
            FileError: it is not in the index, or gone or damaged where it was.
        """
        self.entry(id_)
        return self._source.open(id_)

    def page(self, start: int, count: int) -> list[Entry]:
        """Some of the pictures, to browse them."""
        return [self._placed(entry) for entry in self._store.page(start, count)]

    def _placed(self, entry: Entry) -> Entry:
        return Entry(entry.id, entry.width, entry.height, self._source.path(entry.id))

    def _each(self, ids: Sequence[str], found: Mapping[str, Found]) -> list[Found]:
        for id_ in ids:
            if id_ not in found:
                raise UnknownEntryError(f"{id_!r} is not in the index of {self.card.source}.")
        return [found[id_] for id_ in ids]
