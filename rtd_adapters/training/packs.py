"""The packs of a batch: whoever prepares it can make them for whoever steps on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rtd_adapters.compute.devices import onto
from rtd_adapters.methods.query import Query
from rtd_adapters.training.packing import Pack

Key = tuple[tuple[tuple[str, ...], "int | None"], ...]
"""Of queries: the prompts of each, and which one was the first with the same pseudo tokens."""


@dataclass(frozen=True)
class PackedIds:
    """Texts, tokenized and packed."""

    ids: Tensor
    """[B, L]"""
    pack: Pack

    def to(self, device: torch.device) -> PackedIds:
        """The same on a device."""
        return PackedIds(onto(self.ids, device), self.pack.to(device))

    def __reduce__(self) -> tuple[Callable[..., PackedIds], tuple[np.ndarray | None, ...]]:
        """Sent to another process with half the bytes: no number in it is large."""
        pack = self.pack
        parts = (self.ids, pack.places, pack.unfold, pack.fold, pack.ends, pack.own, pack.shared)
        return _unpacked, tuple(None if p is None else p.int().numpy() for p in parts)


class Packs:
    """Those of one batch, by their texts."""

    def __init__(self) -> None:
        self._made: dict[Key, PackedIds] = {}

    def of(
        self,
        queries: Sequence[Query],
        owners: Sequence[int | None],
        make: Callable[[], PackedIds],
    ) -> PackedIds:
        """The pack of some queries, made if nobody has made it before.

        Args:
            queries: whose prompts are packed together.
            owners: of each, the first query that has the same pseudo tokens; None for plain text.
            make: a function of these two.
        """
        prompts = (tuple(query.prompts) for query in queries)
        key = tuple(zip(prompts, owners, strict=True))
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def to(self, device: torch.device) -> Packs:
        """The same on a device; to a GPU nobody waits for them."""
        if device.type == "cpu":
            return self
        there = Packs()
        there._made = {key: made.to(device) for key, made in self._made.items()}
        return there

    def __len__(self) -> int:
        return len(self._made)


def _unpacked(ids: np.ndarray, *parts: np.ndarray | None) -> PackedIds:
    whole, *rest = (None if p is None else torch.from_numpy(p).long() for p in (ids, *parts))
    assert whole is not None
    return PackedIds(whole, Pack(*rest))  # type: ignore[arg-type]
