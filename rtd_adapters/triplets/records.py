"""A text triplet, and a set of them that knows where it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold a text: JSON and file names can bring half a character, a surrogate
    without its partner, which no file can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class Triplet:
    """Reference caption T_r, conditioning text T_c, target caption T_t, as they were found."""

    reference: str
    conditioning: str
    target: str


@dataclass(frozen=True)
class TripletSet(Sequence[Triplet]):
    """Triplets of one source."""

    triplets: Sequence[Triplet]
    """In memory, or on disk where they are many (`spill.hold`)."""
    source: str
    """File name or other origin."""
    sha256: str
    """Of the file's bytes; of the triplets themselves where there is no file."""

    def __len__(self) -> int:
        return len(self.triplets)

    @overload
    def __getitem__(self, index: int) -> Triplet: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Triplet]: ...
    def __getitem__(self, index: int | slice) -> Triplet | Sequence[Triplet]:
        return self.triplets[index]
