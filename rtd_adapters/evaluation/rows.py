"""Embeddings that may be larger than memory, of which some rows at a time are brought in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

BLOCK = 8000
"""Rows that are brought in at a time, where all are gone through."""


class Rows(Protocol):
    """[N, embed_dim] in fp32 on the CPU: a tensor, or what gives rows of it as one does."""

    def __len__(self) -> int: ...

    def __getitem__(self, places: slice | list[int], /) -> Tensor: ...


@dataclass(frozen=True)
class Mapped:
    """The rows of a file; what is taken of them is a copy in memory."""

    file: np.ndarray
    """[N, embed_dim], mapped."""

    def __len__(self) -> int:
        return len(self.file)

    def __getitem__(self, places: slice | list[int], /) -> Tensor:
        taken = self.file[places]  # a copy already, unless they stand next to each other
        return torch.from_numpy(taken.copy() if isinstance(places, slice) else taken)


class Joined:
    """Rows picked from several sources, which stay where they are.

    Args:
        sources: each [N, embed_dim].
        picked: [M] places in all of the sources, one after another.
    """

    def __init__(self, sources: Sequence[Rows], picked: Tensor) -> None:
        self.sources, self.picked = sources, picked
        self.ends = torch.tensor([len(source) for source in sources]).cumsum(0)

    def __len__(self) -> int:
        return len(self.picked)

    def __getitem__(self, places: slice | list[int], /) -> Tensor:
        picked = self.picked[places]
        numbers = torch.searchsorted(self.ends, picked, right=True)
        found = torch.empty(len(picked), self.sources[0][:0].shape[1])
        for number, source in enumerate(self.sources):
            own = (numbers == number).nonzero().flatten()
            start = self.ends[number] - len(source)
            found[own] = source[(picked[own] - start).tolist()]
        return found


def replaced(rows: Rows, places: Tensor, others: Tensor) -> Joined:
    """The rows, with others [K, embed_dim] in places [K]."""
    picked = torch.arange(len(rows))
    picked[places] = len(rows) + torch.arange(len(others))
    return Joined([rows, others], picked)


def in_blocks(rows: Rows, length: int = BLOCK) -> Iterator[tuple[int, Tensor]]:
    """All rows, some at a time, with the place of the first of them."""
    for start in range(0, len(rows), length):
        yield start, rows[start : start + length]


def lost_rows(rows: Rows) -> list[int]:
    """Places of rows that hold NaN: of pictures that are left out."""
    return [
        start + place
        for start, block in in_blocks(rows)
        for place in block.isnan().any(1).nonzero().flatten().tolist()
    ]
