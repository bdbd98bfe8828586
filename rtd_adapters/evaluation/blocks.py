"""Queries against a gallery, block by block: first places and counted ranks, on tensors alone.

Every score of a query and a picture is taken from one matrix product, always of the same shape, so
that it is the same number wherever it is compared. A block is therefore scored in two products: by
the queries whose wanted pictures are in it, and by the others. The former is made twice, once to
learn the scores of the wanted pictures, once to count what is ahead of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rtd_adapters.clip.onednn import FastLinear
from rtd_adapters.evaluation.rows import BLOCK, Rows, in_blocks

PICTURES, QUERIES = BLOCK, 1000
"""Pictures of a block, and queries that are scored against it at a time. Both bound the memory:
beside the gallery it takes a copy of one block, and some 100 MB for scores."""
OUT = torch.finfo(torch.float32).min
"""The score of pictures that a query may not find: below every cosine, and yet above -inf."""


@dataclass(frozen=True)
class Question:
    """What one query asks of a gallery, by place."""

    wanted: Sequence[int] = ()
    """Pictures whose ranks are counted."""
    excluded: Sequence[int] = ()
    """Pictures that are ranked last."""
    candidates: Sequence[int] = ()
    """All others are ranked last; empty where the whole gallery is searched."""


@dataclass(frozen=True)
class Found:
    """What queries found. Ties are broken by place in the gallery, as a stable sort breaks them."""

    scores: Tensor
    """[Q, depth] of the first places, best first; `OUT` where nothing is left to find."""
    places: Tensor
    """[Q, depth] in the gallery."""
    ranks: Tensor
    """[Q, A] of each query's wanted pictures, in their order, 1 for the top; 1 also where a query
    wants fewer than A."""


@dataclass(frozen=True)
class Block:
    """Some pictures that stand next to each other in the gallery."""

    start: int
    """Place of the first."""
    units: Tensor
    """[B, embed_dim] of them, normalised."""

    def holds(self, places: Tensor) -> Tensor:
        """Which of the places are in it."""
        return (places >= self.start) & (places < self.start + len(self.units))


@torch.no_grad()
def search_blocks(
    queries: Tensor, gallery: Rows, questions: Sequence[Question], depth: int
) -> Found:
    """Score queries against a gallery that may be larger than memory.

    Args:
        queries: [Q, embed_dim], units; where they are, there the work is done.
        gallery: [N, embed_dim], normalised or not, of any precision; it may be mapped from a file.
        questions: Q of them.
        depth: how many of the first places are kept, at most N.
    """
    parts = zip(queries.split(QUERIES), _split(questions), strict=True)
    chunks = [_Chunk(part, asked, depth) for part, asked in parts]
    if any(question.wanted for question in questions):
        for block in _blocks(gallery, queries.device):
            for chunk in chunks:
                chunk.learn(block)
    for block in _blocks(gallery, queries.device):
        for chunk in chunks:
            chunk.take(block)
    width = max((chunk.ahead.shape[1] for chunk in chunks), default=0)
    return Found(
        torch.cat([chunk.scores for chunk in chunks]),
        torch.cat([chunk.places for chunk in chunks]),
        1 + torch.cat([F.pad(chunk.ahead, (0, width - chunk.ahead.shape[1])) for chunk in chunks]),
    )


def _split(questions: Sequence[Question]) -> list[Sequence[Question]]:
    # As Tensor.split does, which makes one empty part of nothing.
    starts = range(0, max(len(questions), 1), QUERIES)
    return [questions[start : start + QUERIES] for start in starts]


def _blocks(gallery: Rows, device: torch.device) -> Iterator[Block]:
    for start, pictures in in_blocks(gallery, PICTURES):
        units = F.normalize(pictures.to(device).float(), dim=-1)
        del pictures  # before those of the next block are brought in
        yield Block(start, units)


class _Chunk:
    """Some queries on their way through the gallery."""

    def __init__(self, queries: Tensor, questions: Sequence[Question], depth: int) -> None:
        device = queries.device
        most = max((len(question.wanted) for question in questions), default=0)
        padded = [
            [*question.wanted, *[-1] * (most - len(question.wanted))] for question in questions
        ]
        self.queries = queries.float()
        self.wanted = torch.tensor(padded, dtype=torch.long, device=device).reshape(
            len(queries), most
        )
        self.reached = torch.full(self.wanted.shape, torch.inf, device=device)
        """Scores of the wanted; nothing is ahead of what pads them."""
        self.ahead = torch.zeros_like(self.wanted)
        self.scores = torch.full((len(queries), depth), OUT, device=device)
        self.places = torch.zeros((len(queries), depth), dtype=torch.long, device=device)
        self.excluded = _pairs([question.excluded for question in questions], device)
        self.candidates = _pairs([question.candidates for question in questions], device)
        limited = [bool(question.candidates) for question in questions]
        self.limited = torch.tensor(limited, dtype=torch.bool, device=device)

    def learn(self, block: Block) -> None:
        """Note the scores of wanted pictures that are in the block."""
        rows, _ = self._sides(block)
        if len(rows):
            wanted = self.wanted[rows]
            columns = (wanted - block.start).clamp(0, len(block.units) - 1)
            found = self._scored(rows, block).gather(1, columns)
            self.reached[rows] = torch.where(block.holds(wanted), found, self.reached[rows])

    def take(self, block: Block) -> None:
        """Count what is ahead of the wanted pictures, and keep the first places."""
        for rows in self._sides(block):
            if len(rows):
                scores = self._scored(rows, block)
                for slot in range(self.wanted.shape[1]):
                    places = self.wanted[rows, slot] - block.start
                    self.ahead[rows, slot] += count_ahead(scores, self.reached[rows, slot], places)
                if self.scores.shape[1]:
                    self._keep(rows, scores, block.start)

    def _sides(self, block: Block) -> tuple[Tensor, Tensor]:
        """Rows of the queries that want a picture of the block, and of those that do not."""
        asking = block.holds(self.wanted).any(1)
        return asking.nonzero().flatten(), (~asking).nonzero().flatten()

    def _scored(self, rows: Tensor, block: Block) -> Tensor:
        """[R, B] cosine similarities, `OUT` for what a query may not find."""
        with FastLinear():
            scores = F.linear(self.queries[rows], block.units)
        inside = self._within(self.candidates, rows, block)
        kept = scores[inside]
        scores[self.limited[rows]] = OUT
        scores[inside] = kept
        scores[self._within(self.excluded, rows, block)] = OUT
        return scores

    def _within(
        self, pairs: tuple[Tensor, Tensor], rows: Tensor, block: Block
    ) -> tuple[Tensor, Tensor]:
        """Those of the pairs that stand in the scores of a block, as their indices there."""
        line = torch.full((len(self.queries),), -1, device=rows.device)
        line[rows] = torch.arange(len(rows), device=rows.device)
        asking, places = pairs
        here = block.holds(places) & (line[asking] >= 0)
        return line[asking[here]], places[here] - block.start

    def _keep(self, rows: Tensor, scores: Tensor, start: int) -> None:
        """Merge the first places of a block into those of the blocks before it."""
        found, columns = first_places(scores, self.scores.shape[1])
        gaining = found.amax(1) > self.scores[rows, -1]
        rows, found, columns = rows[gaining], found[gaining], columns[gaining]
        # Both halves hold equal scores in the order of the gallery, and the sort is stable.
        merged = torch.cat([self.scores[rows], found], dim=1)
        places = torch.cat([self.places[rows], start + columns], dim=1)
        values, order = merged.sort(dim=1, descending=True, stable=True)
        depth = self.scores.shape[1]
        self.scores[rows] = values[:, :depth]
        self.places[rows] = places.gather(1, order[:, :depth])


def count_ahead(scores: Tensor, wanted: Tensor, places: Tensor) -> Tensor:
    """[R] how many pictures of a block are ahead of a wanted one, by the rule of `clip/ranks.py`:
    those with a higher score, and those with an equal score that stand earlier.

    Args:
        scores: [R, B] of the block, finite.
        wanted: [R] scores of the wanted pictures.
        places: [R] of them, counted from the block's first; below 0 or from B on they are in
            another block.
    """
    width = scores.shape[1]
    limits = torch.where(
        places < width, wanted, wanted.nextafter(torch.full_like(wanted, -torch.inf))
    )
    # Counted as floats, which is exact and several times as fast as counting truth values.
    higher = torch.gt(scores, limits[:, None], out=torch.empty_like(scores)).sum(1).long()
    own = ((places >= 0) & (places < width)).nonzero().flatten()
    earlier = torch.arange(width, device=scores.device) < places[own, None]
    higher[own] += (earlier & (scores[own] == wanted[own, None])).sum(1)
    return higher


def first_places(scores: Tensor, depth: int) -> tuple[Tensor, Tensor]:
    """The highest of each row's scores as a stable descending sort has them, in order of place.

    Args:
        scores: [R, B].
        depth: at least 1; how many are wanted.

    Returns:
        Scores and places, both [R, the lesser of depth and B].
    """
    width = scores.shape[1]
    if depth >= width:
        return scores, torch.arange(width, device=scores.device).expand_as(scores)
    highest, places = scores.topk(depth + 1)
    places = places[:, :depth].sort(dim=1).values
    # topk leaves open which of several equal scores it takes.
    tied = (highest[:, -1] == highest[:, -2]).nonzero().flatten()
    if len(tied):
        places[tied] = _earliest(scores[tied], highest[tied, -1:], depth)
    return scores.gather(1, places), places


def _earliest(scores: Tensor, least: Tensor, depth: int) -> Tensor:
    """[R, depth] places of what is above the least score [R, 1], and of its first equals."""
    above, equal = scores > least, scores == least
    room = depth - above.sum(1, keepdim=True)
    return (above | (equal & (equal.cumsum(1) <= room))).nonzero()[:, 1].reshape(-1, depth)


def _pairs(places: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows and places, a pair for each place that a row names."""
    pairs = [(row, place) for row, named in enumerate(places) for place in named]
    rows, flat = torch.tensor(pairs, dtype=torch.long, device=device).reshape(-1, 2).T
    return rows, flat
