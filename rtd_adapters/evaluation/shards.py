"""A long list of pictures embedded in shards: kept as they are done, shared between processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

import torch
from torch import Tensor
from tqdm import tqdm

from rtd_adapters.compute.processes import Processes
from rtd_adapters.evaluation.kept import KeptEmbeddings

LONGEST = 4096
"""Pictures of a shard, as far as whole batches allow: what a killed run loses at most."""

Embed = Callable[[Sequence[range]], Iterable[Tensor]]
"""Embeddings [B, embed_dim] of the pictures at the places of each batch, batch after batch."""


@dataclass(frozen=True)
class Shards:
    """A list of pictures, cut into batches and these into shards.

    Batches are the same whatever the number of processes and whatever is kept already, and so are
    the embeddings, bit for bit.

    Args:
        shape: number of pictures, and embed_dim.
        batch_size: pictures at a time.
        kept: what is on disk of them; None keeps nothing.
        processes: who share the work; the first one alone reads and writes.
        device: of the embeddings while they are computed.
        quiet: no progress bar.
    """

    shape: tuple[int, int]
    batch_size: int
    kept: KeptEmbeddings | None
    processes: Processes
    device: torch.device
    quiet: bool

    def embeddings(self, embed: Embed) -> Tensor:
        """[N, embed_dim] of all pictures, on the CPU, in every process.

        Args:
            embed: computes what is not kept.

        Raises:
            FileError: the disk refuses.
            TrainingError: another process has ended.
        """
        kept, (length, embed_dim) = self.kept, self.shape
        if kept and (found := self._found(kept.whole, length)) is not None:
            if self.processes.is_main:
                kept.drop_shards()  # of a run that was killed in the very end
            return found
        done = {}
        shards = _cut(range(length), max(LONGEST // self.batch_size, 1) * self.batch_size)
        for shard in shards:
            if kept and (found := self._found(partial(kept.shard, shard), len(shard))) is not None:
                done[shard] = found
        self._complete(done, [shard for shard in shards if shard not in done], embed)
        whole = torch.cat([torch.empty(0, embed_dim), *(done[shard] for shard in shards)])
        if kept and self.processes.is_main:
            kept.keep(whole)
        return whole

    def _complete(self, done: dict[range, Tensor], missing: list[range], embed: Embed) -> None:
        """Add the embeddings of the missing shards."""
        batches = {shard: _cut(shard, self.batch_size) for shard in missing}
        mine = {shard: all_[self.processes.share(len(all_))] for shard, all_ in batches.items()}
        embedded = iter(embed([batch for own in mine.values() for batch in own]))
        with self._bar(sum(map(len, done))) as bar:
            for shard in missing:
                rows = [torch.empty(0, self.shape[1], device=self.device)]
                for batch in mine[shard]:
                    rows.append(next(embedded))
                    bar.update(len(batch))
                done[shard] = self._together(torch.cat(rows), len(batches[shard]))[: len(shard)]
                bar.update(len(shard) - sum(map(len, mine[shard])))
                if self.kept and self.processes.is_main:
                    self.kept.keep_shard(shard, done[shard])

    def _bar(self, done: int) -> tqdm[NoReturn]:
        return tqdm(
            total=self.shape[0],
            initial=done,
            desc="embedding pictures",
            unit=" pictures",
            disable=self.quiet or None,
        )

    def _together(self, rows: Tensor, batches: int) -> Tensor:
        """A shard's embeddings from every process's; the last batch may be filled up with zeros."""
        own = len(range(batches)[self.processes.share(batches)])
        whole = rows.new_zeros(own * self.batch_size, self.shape[1])
        whole[: len(rows)] = rows
        shared = whole.view(own, self.batch_size, self.shape[1])
        return self.processes.gather(shared, batches).flatten(0, 1).cpu()

    def _found(self, read: Callable[[], Tensor | None], length: int) -> Tensor | None:
        """What the first process finds on its disk, in all of them."""
        shape = length, self.shape[1]
        rows = read() if self.processes.is_main else None
        if rows is not None and rows.shape != shape:
            rows = None
        if not self.processes.from_first(torch.tensor([int(rows is not None)], device=self.device)):
            return None
        sent = torch.empty(shape) if rows is None else rows
        return self.processes.from_first(sent.to(self.device)).cpu()


def _cut(places: range, length: int) -> list[range]:
    """In parts of a length; the last one may be shorter."""
    return [places[start : start + length] for start in range(0, len(places), length)]
