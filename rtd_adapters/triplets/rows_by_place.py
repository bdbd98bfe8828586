"""Triplets on disk, each read when it is asked for by its place."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import overload

from rtd_adapters.triplets.records import Triplet


class TripletsByPlace(Sequence[Triplet]):
    """A sequence whose subclass reads one row at a time."""

    @overload
    def __getitem__(self, index: int) -> Triplet: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Triplet]: ...
    def __getitem__(self, index: int | slice) -> Triplet | Sequence[Triplet]:
        if isinstance(index, slice):
            return tuple(self[place] for place in range(*index.indices(len(self))))
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"triplet {index} of {len(self)}")
        return self._row(place)

    @abstractmethod
    def _row(self, place: int) -> Triplet:
        """The triplet of a row that is there."""
