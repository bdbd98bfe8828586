"""Anchors: the frozen tower's embeddings of captions, each distinct caption computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from rtd_adapters.clip.text import TextTower, Tokenizer
from rtd_adapters.compute.devices import onto
from rtd_adapters.compute.processes import Processes
from rtd_adapters.methods.query import Query
from rtd_adapters.training.anchor_store import AnchorStore
from rtd_adapters.training.packed_texts import embed_queries
from rtd_adapters.training.packs import Packs

PACKED = 512
"""Captions in one pack at most."""
Computing = Callable[[], AbstractContextManager]
"""Gives what is entered around a tower."""


class Anchors:
    """Embeds captions with the frozen tower.

    Args:
        tower: the frozen tower.
        tokenizer: the method's.
        store: where embeddings are kept for later batches and runs, if anywhere.
        processes: those of the run; each computes its share of every batch.
        packed: captions in one pack at most, which bounds memory.
        computing: entered around the tower; by default it computes in its weights' precision.
    """

    def __init__(
        self,
        tower: TextTower,
        tokenizer: Tokenizer,
        store: AnchorStore | None = None,
        processes: Processes | None = None,
        packed: int = PACKED,
        computing: Computing = nullcontext,
    ) -> None:
        self._tower, self._tokenizer, self._store = tower, tokenizer, store
        self._processes = processes or Processes()
        self._packed, self._computing = packed, computing

    @torch.no_grad()
    def __call__(self, captions: Sequence[str], packs: Packs | None = None) -> Tensor:
        """[N, embed_dim], unnormalised, in the captions' order; `packs` see `embed_queries`."""
        distinct = sorted(set(captions))  # neighbours begin alike, and packs share beginnings
        place = {caption: row for row, caption in enumerate(distinct)}
        mine = self._embed(distinct[self._processes.share(len(distinct))], packs)
        whole = self._processes.gather(mine, len(distinct))
        rows = torch.tensor([place[caption] for caption in captions], dtype=torch.long)
        return whole.index_select(0, onto(rows, whole.device))

    def _embed(self, captions: list[str], packs: Packs | None) -> Tensor:
        if self._store is None:
            return self._compute(captions, packs)
        kept = self._store.find(captions)
        missing = [row for row, hit in enumerate(kept.hits) if not hit]
        vectors = onto(kept.vectors, self.device)
        if missing:
            computed = self._compute([captions[row] for row in missing], packs)
            self._store.add([captions[row] for row in missing], computed.cpu())
            vectors[onto(torch.tensor(missing), self.device)] = computed
        return vectors

    def _compute(self, captions: list[str], packs: Packs | None) -> Tensor:
        parts = [captions[s : s + self._packed] for s in range(0, len(captions), self._packed)]
        empty = torch.empty(0, self._tower.config.embed_dim, device=self.device)
        with self._computing():
            found = [
                embed_queries(self._tower, self._tokenizer, [Query(part)], packs=packs)
                for part in parts
            ]
        return torch.cat([empty, *found])  # in fp32, whatever it was computed in

    @property
    def device(self) -> torch.device:
        """The tower's, where embeddings come."""
        return self._tower.device
