"""Packs of texts: no padding that nobody looks at, and no beginning twice where that is exact.

Where attention is causal, a token's states depend on the tokens before it and on nothing behind:
texts that begin alike share their beginning's states, and the texts of a batch form a tree
(`share_beginnings`). Where tokens look at all words of their text, only texts that are equal
throughout share (`share_texts`). A pack lays what is left end to end: all linear layers run once a
node; just the attention unfolds them into padded texts. All of this is ours; the paper's script
pads every text to 77 tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rtd_adapters.compute.devices import onto

ROUND = 64
"""Packs have a multiple of so many nodes, for oneDNN keeps code for every size it meets. Nobody
reads what is spare."""


@dataclass(frozen=True)
class Pack:
    """B texts of at most W tokens, of which U differ, as N nodes, and where everything is."""

    places: Tensor
    """[N] column of each node in its padded text."""
    unfold: Tensor
    """[U * W] node of each token of each padded text; where a text has no token, one of its own."""
    fold: Tensor
    """[N] a place in the padded texts, flat, where each node stands."""
    ends: Tensor
    """[U] column of each text's token that is read for the whole."""
    own: Tensor
    """[U] a text of the batch that is this one."""
    shared: Tensor | None = None
    """[B] which of the U texts each text of the batch is; None where they are the batch itself."""

    @property
    def width(self) -> int:
        """W, tokens of the longest text."""
        return len(self.unfold) // len(self.ends)

    def to(self, device: torch.device) -> Pack:
        """The same on a device."""
        shared = None if self.shared is None else onto(self.shared, device)
        places, unfold, fold = (onto(t, device) for t in (self.places, self.unfold, self.fold))
        return Pack(places, unfold, fold, onto(self.ends, device), onto(self.own, device), shared)

    def whole_batch(self, rows: Tensor) -> Tensor:
        """[B, ...] from a row for each text that differs, [U, ...]."""
        return rows if self.shared is None else rows.index_select(0, self.shared)


def share_beginnings(keys: Tensor, ends: Tensor) -> Pack:
    """The tree of some texts, for towers whose attention is causal.

    Args:
        keys: [B, W] what stands at each place, as non-negative integers: equal keys, equal input.
        ends: [B] place of each text's last token, which is the one that is read.
    """
    rows, width = keys.shape
    columns, last = np.arange(width), ends.numpy()[:, None]
    words = np.where(columns <= last, keys.numpy(), -1)
    order = np.lexsort(words.T[::-1])
    words, last = words[order], last[order]
    # In this order texts that begin alike are neighbours, and a beginning is new where a text
    # differs from the one before it at any place up to there.
    differs = np.ones((rows, width), dtype=bool)
    differs[1:] = words[1:] != words[:-1]
    there = columns <= last
    fresh = there & np.maximum.accumulate(differs, axis=1)
    number = np.cumsum(fresh.T).reshape(width, rows).T - 1  # column by column
    nodes = np.empty((rows, width), dtype=np.int64)
    nodes[order] = np.where(there, number, np.take_along_axis(number, last, axis=1))
    count = int(fresh.sum())
    first = np.full(count, rows)
    np.minimum.at(first, number[there], np.broadcast_to(order[:, None], there.shape)[there])
    places = np.nonzero(fresh.T)[0]
    spare = _spare(count)
    return Pack(
        torch.cat([torch.from_numpy(places), spare]),
        torch.from_numpy(nodes.flatten()),
        torch.cat([torch.from_numpy(first * width + places), spare]),
        ends,
        torch.arange(rows),
    )


def share_texts(keys: Tensor, seen: Tensor, ends: Tensor) -> Pack:
    """Texts that differ, each with the tokens that are looked at, for towers that look ahead.

    Args:
        keys: [B, W] as in `share_beginnings`.
        seen: [B, W] which tokens are looked at by anything that is read.
        ends: [B] column of each text's token that is read.
    """
    words = torch.where(seen, keys, -1)
    distinct, shared = torch.unique(words, dim=0, return_inverse=True)
    rows = torch.arange(len(keys))
    own = torch.full((len(distinct),), len(keys)).scatter_reduce_(0, shared, rows, "amin")
    seen, ends = seen[own], ends[own]
    fold = seen.flatten().nonzero().flatten()
    nodes = torch.zeros(seen.numel(), dtype=torch.long)
    nodes[fold] = torch.arange(len(fold))
    nodes = nodes.view(seen.shape)
    first = nodes.gather(1, seen.int().argmax(dim=1, keepdim=True))
    unfold = torch.where(seen, nodes, first).flatten()
    spare = _spare(len(fold))
    fold = torch.cat([fold, spare])
    return Pack(fold % seen.shape[1], unfold, fold, ends, own, shared)


def _spare(count: int) -> Tensor:
    return torch.zeros(-count % ROUND, dtype=torch.long)
