"""A long list of pictures embedded in shards: kept as they are done, shared between processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor
from tqdm import tqdm

from rtd_adapters.compute.processes import Processes
from rtd_adapters.errors import FileError
from rtd_adapters.evaluation.kept import KeptEmbeddings
from rtd_adapters.evaluation.rows import Rows

LONGEST = 4096
"""Pictures of a shard, as far as whole batches allow: what a killed run loses at most."""
ROUNDS = 3
"""How often shards are made that somebody clears away, or a disk damages, in the meantime."""

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

    def embeddings(self, embed: Embed) -> Rows | None:
        """[N, embed_dim] of all pictures: mapped from what is kept, or on the CPU.

        None in the processes that do not read where embeddings are kept.

        Args:
            embed: computes what is not kept.

        Raises:
            FileError: the disk refuses, or keeps nothing.
            TrainingError: another process has ended.
        """
        shards = _cut(range(self.shape[0]), max(LONGEST // self.batch_size, 1) * self.batch_size)
        if self.kept is not None:
            return self._kept(self.kept, shards, embed)
        whole = torch.empty(self.shape)
        for shard, rows in self._computed(shards, embed):
            whole[shard.start : shard.stop] = rows
        return whole

    def _kept(self, kept: KeptEmbeddings, shards: list[range], embed: Embed) -> Rows | None:
        """The list's one file, made of its shards where it is not there."""
        reads = self.processes.is_main
        for _ in range(ROUNDS):
            whole = kept.whole() if reads else None
            if all(self._as_the_first([whole is not None])):
                if reads:
                    kept.drop_shards()
                return whole
            there = self._as_the_first([reads and kept.has_shard(shard) for shard in shards])
            missing = [shard for shard, is_there in zip(shards, there, strict=True) if not is_there]
            for shard, rows in self._computed(missing, embed):
                if reads:
                    kept.keep_shard(shard, rows)
            if reads:
                kept.merge(shards)
        raise FileError(
            f"{kept.folder} does not keep the embeddings of pictures that are written there. Check "
            "the disk, and let nothing clear it meanwhile; or pass --no-cache."
        )

    def _computed(self, shards: list[range], embed: Embed) -> Iterator[tuple[range, Tensor]]:
        """The embeddings of some shards, on the CPU, one after another."""
        batches = {shard: _cut(shard, self.batch_size) for shard in shards}
        mine = {shard: all_[self.processes.share(len(all_))] for shard, all_ in batches.items()}
        embedded = iter(embed([batch for own in mine.values() for batch in own]))
        with self._bar(self.shape[0] - sum(map(len, shards))) as bar:
            for shard in shards:
                rows = [torch.empty(0, self.shape[1], device=self.device)]
                for batch in mine[shard]:
                    rows.append(next(embedded))
                    bar.update(len(batch))
                yield shard, self._together(torch.cat(rows), len(batches[shard]))[: len(shard)]
                bar.update(len(shard) - sum(map(len, mine[shard])))

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

    def _as_the_first(self, known: list[bool]) -> list[bool]:
        """What the first process knows, in all of them."""
        sent = torch.tensor(known, dtype=torch.int, device=self.device)
        return [bool(value) for value in self.processes.from_first(sent).tolist()]


def _cut(places: range, length: int) -> list[range]:
    """In parts of a length; the last one may be shorter."""
    return [places[start : start + length] for start in range(0, len(places), length)]
