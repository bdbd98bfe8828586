"""The seam behind which a vector engine keeps an index's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from rtd_adapters.search.index.records import Entry, Hit, Row, State


class Store(Protocol):
    """A table of pictures in a vector engine; every method may be called from any thread.

    All raise FileError where the engine cannot be reached, is damaged, or is out of space.
    """

    def count(self) -> int:
        """Pictures in it."""

    def states(self) -> dict[str, State]:
        """Every picture's id and the state of the file that it was embedded from."""

    def put(self, rows: Sequence[Row]) -> None:
        """Add pictures, in the place of those of the same ids; all of them or none."""

    def remove(self, ids: Sequence[str]) -> None:
        """Take pictures out; all of them or none."""

    def settle(self) -> None:
        """Put in order what many small writes have left; called once when all is written."""

    def search(self, vectors: np.ndarray, k: int, *, exact: bool) -> list[list[Hit]]:
        """The nearest pictures by cosine, best first, for each of [Q, embed_dim] unit vectors."""

    def entries(self, ids: Sequence[str]) -> dict[str, Entry]:
        """Those of the ids that are there; paths are empty."""

    def embeddings(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """[embed_dim] of each that is there, as they were put."""

    def thumbnails(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Of each that is there."""

    def page(self, start: int, count: int) -> list[Entry]:
        """Some pictures, in an order that lasts until the next write; paths are empty."""
