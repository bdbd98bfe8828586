"""Query embeddings against a gallery: scores, and rankings made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from rtd_adapters.errors import UsageError
from rtd_adapters.evaluation.benchmark import EvalQuery

CHUNK = 64
"""Queries at a time, which bounds the memory of their scores."""


def search_gallery(
    queries: Tensor, gallery: Tensor, ids: Sequence[str], depth: int = 10
) -> tuple[list[list[str]], Tensor]:
    """The best pictures of a gallery for each query, in the order in which `evaluate` ranks them.

    Args:
        queries: [Q, embed_dim] unit embeddings, as `embed_composed` gives them.
        gallery: [N, embed_dim] of the pictures, normalised or not, as `embed_pictures` gives them.
        ids: N names of the pictures.
        depth: how many are wanted; no more come than there are.

    Returns:
        Q lists of K ids, best first, ties by place in the gallery, and their scores [Q, K], cosine
        similarities; K is the lesser of `depth` and N.

    Raises:
        UsageError: there are not as many ids as pictures.
    """
    if len(ids) != len(gallery):
        raise UsageError(f"{len(gallery)} pictures and {len(ids)} ids. Pass one id for each.")
    depth = min(depth, len(ids))
    searched = Gallery(ids, gallery)
    named: list[list[str]] = []
    best: list[Tensor] = []
    for chunk in queries.split(CHUNK):
        for scores in searched.scores(chunk):
            places = first_places(scores, depth)
            named.append([ids[place] for place in places.tolist()])
            best.append(scores[places])
    return named, torch.stack(best) if best else torch.empty(0, depth)


@dataclass(frozen=True)
class Gallery:
    """Pictures that queries are scored against."""

    ids: Sequence[str]
    embeddings: Tensor
    """[N, embed_dim] of them, normalised or not."""

    @cached_property
    def places(self) -> dict[str, int]:
        """Id -> row."""
        return {image: row for row, image in enumerate(self.ids)}

    def scores(self, queries: Tensor) -> Tensor:
        """[Q, N] cosine similarities to queries' unit embeddings [Q, embed_dim]."""
        return queries @ self._unit.T

    @cached_property
    def _unit(self) -> Tensor:
        return F.normalize(self.embeddings.float(), dim=-1)


def rankings(
    embeddings: Tensor, gallery: Gallery, queries: Sequence[EvalQuery]
) -> Iterator[ScoredRanking]:
    """Each query's ranking of a gallery.

    Args:
        embeddings: [Q, embed_dim] of the queries, units.
        gallery: what they search.
        queries: say who is out.
    """
    places = gallery.places
    for query, scores in zip(queries, gallery.scores(embeddings), strict=True):
        if query.candidates:
            inside = torch.tensor([places[image] for image in query.candidates])
            kept = torch.full_like(scores, -torch.inf)
            kept[inside] = scores[inside]
            scores = kept
        outside = [places[image] for image in query.excluded if image in places]
        scores[outside] = -torch.inf
        yield ScoredRanking(scores, gallery)


@dataclass(frozen=True)
class ScoredRanking:
    """One query's ranking, from its scores.

    Ties are broken by place in the gallery, as a stable sort breaks them.
    """

    scores: Tensor
    """[N] similarity of each gallery item; -inf for those that are out."""
    gallery: Gallery

    def top(self, depth: int) -> list[str]:
        """The first `depth` ids."""
        inside = int((self.scores > -torch.inf).sum())
        return self._named(first_places(self.scores, min(depth, inside)))

    def among(self, ids: Sequence[str]) -> list[str]:
        """Those of the ids that are in the gallery, best first."""
        places = torch.tensor(sorted(self._places(ids)), dtype=torch.long)
        order = self.scores[places].sort(descending=True, stable=True).indices
        return self._named(places[order])

    def ranks(self, ids: Sequence[str]) -> list[int]:
        """Ranks of those of the ids that are in the gallery, 1 for the top, the best first."""
        places = torch.arange(len(self.scores))
        ahead = [
            (self.scores > self.scores[p]) | ((self.scores == self.scores[p]) & (places < p))
            for p in self._places(ids)
        ]
        return sorted(1 + int(mask.sum()) for mask in ahead)

    def rank(self, ids: Sequence[str]) -> int | None:
        """1 for the top; the best of the ids, None if none is in the gallery."""
        return min(self.ranks(ids), default=None)

    def _places(self, ids: Sequence[str]) -> list[int]:
        return [self.gallery.places[i] for i in ids if i in self.gallery.places]

    def _named(self, places: Tensor) -> list[str]:
        return [self.gallery.ids[place] for place in places.tolist()]


def first_places(scores: Tensor, depth: int) -> Tensor:
    """[depth] places of the highest of the scores [N], as a stable descending sort has them."""
    if depth < 1:
        return torch.empty(0, dtype=torch.long)
    least = scores.topk(depth).values[-1]
    # topk alone leaves open which of several equal scores it takes, and in which order.
    places = (scores >= least).nonzero().flatten()
    order = scores[places].sort(descending=True, stable=True).indices
    return places[order[:depth]]
