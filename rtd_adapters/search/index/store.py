"""The seam behind which a vector engine keeps an index."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np

from rtd_adapters.search.index.card import Saved
from rtd_adapters.search.index.records import Entry, Hit, Row, State

FEWEST = 10_000
"""Pictures that an approximate index is made of at least: fewer are compared in milliseconds."""
PROBES = 20
"""Lists of it that a search looks through."""


def lists_for(count: int) -> int:
    """Lists of an approximate index of so many pictures: the square root, as engines advise."""
    return max(int(count**0.5), 1)


class Store(Protocol):
    """A place in a vector engine; every method may be called from any thread.

    All raise FileError where the engine cannot be reached, is damaged, or is out of space.
    """

    where: str
    """The folder or address, for messages."""

    def card(self) -> Saved | None:
        """What the index says of itself; None where there is none."""

    def begin(self, card: Saved) -> None:
        """Make an empty index of that card, or keep the one that is there and lay the card anew."""

    def claimed(self) -> AbstractContextManager[None]:
        """Hold the place for the length of a block, so that no other run writes it."""

    def count(self) -> int:
        """Pictures in it."""

    def states(self) -> dict[str, State]:
        """Every picture's id and the state of the file that it was embedded from."""

    def put(self, rows: Sequence[Row]) -> None:
        """Add pictures, in the place of those of the same ids; all of them or none."""

    def remove(self, ids: Sequence[str]) -> None:
        """Take pictures out; all of them or none."""

    def settle(self) -> None:
        """Put in order what many small writes have left, and make or renew the approximate index;
        called once when all is written."""

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
