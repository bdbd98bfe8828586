"""Composed queries against a gallery, by one text tower."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtd_adapters.clip.text import TextTower
from rtd_adapters.evaluation.benchmark import EvalQuery
from rtd_adapters.methods.method import Method
from rtd_adapters.methods.query import Composition, embed_composition
from rtd_adapters.methods.reference import Reference

OPENING = "a photo of"


@dataclass(frozen=True)
class ScoredRanking:
    """One query's ranking, from its scores.

    Ties are broken by place in the gallery, as a stable sort breaks them.
    """

    scores: Tensor
    """[N] similarity of each gallery item; -inf for those that are out."""
    ids: Sequence[str]
    place: dict[str, int]

    def top(self, depth: int) -> list[str]:
        """The first `depth` ids."""
        order = self.scores.sort(descending=True, stable=True).indices
        inside = int((self.scores > -torch.inf).sum())
        return [self.ids[item] for item in order[: min(depth, inside)].tolist()]

    def among(self, ids: Sequence[str]) -> list[str]:
        """Those of the ids that are in the gallery, best first."""
        found = sorted(self.place[i] for i in ids if i in self.place)
        places = torch.tensor(found, dtype=torch.long)
        order = self.scores[places].sort(descending=True, stable=True).indices
        return [self.ids[item] for item in places[order].tolist()]

    def rank(self, ids: Sequence[str]) -> int | None:
        """1 for the top; the best of the ids, None if none is in the gallery."""
        found = [self.place[i] for i in ids if i in self.place]
        if not found:
            return None
        places = torch.arange(len(self.scores))
        ahead = [
            ((self.scores > self.scores[p]) | ((self.scores == self.scores[p]) & (places < p)))
            for p in found
        ]
        return 1 + min(int(mask.sum()) for mask in ahead)


@dataclass(frozen=True)
class Searcher:
    """A method with its projection, ready to search with any text tower."""

    method: Method
    projection: nn.Module

    @torch.no_grad()
    def embed(
        self,
        tower: TextTower,
        queries: Sequence[EvalQuery],
        embedding: Tensor,
        states: Tensor | None = None,
    ) -> Tensor:
        """[Q, embed_dim] unit embeddings of composed queries.

        Args:
            tower: base or patched.
            queries: with the same number of texts each.
            embedding: [Q, embed_dim] of the queries' references, not normalised.
            states: [Q, 1 + patches, image width] of them, for methods that read such.
        """
        tokenizer = self.method.tokenizer(tower.config.context_length)
        reference = Reference.of_pictures(embedding, tower, tokenizer, states)
        orders = []
        for texts in zip(*(query.texts for query in queries), strict=True):
            cleaned = [tokenizer.clean(text) for text in texts]
            composition = self._composition(reference, queries, cleaned)
            embeddings = embed_composition(tower, tokenizer, composition)
            orders.append(F.normalize(embeddings.float(), dim=-1))
        return F.normalize(torch.stack(orders).mean(0), dim=-1)

    def _composition(
        self, reference: Reference, queries: Sequence[EvalQuery], texts: list[str]
    ) -> Composition:
        if queries[0].bare is None:
            return self.method.composed(self.projection, reference, texts)

        def rewritten(row: int, prompt: str) -> str:
            opening, ending = queries[row].bare or (OPENING, "")
            return prompt.replace(OPENING, opening, 1) + ending

        return self.method.bare(self.projection, reference, texts).with_prompts(rewritten)


def rankings(
    embeddings: Tensor, gallery: Tensor, ids: Sequence[str], queries: Sequence[EvalQuery]
) -> Iterator[ScoredRanking]:
    """Each query's ranking of a gallery.

    Args:
        embeddings: [Q, embed_dim] of the queries.
        gallery: [N, embed_dim] of the pictures, unnormalised.
        ids: of the pictures.
        queries: say who is out.
    """
    place = {image: row for row, image in enumerate(ids)}
    unit = F.normalize(gallery.float(), dim=-1)
    for query, embedding in zip(queries, embeddings, strict=True):
        scores = unit @ embedding
        if query.candidates:
            inside = torch.tensor([place[image] for image in query.candidates])
            kept = torch.full_like(scores, -torch.inf)
            kept[inside] = scores[inside]
            scores = kept
        outside = [place[image] for image in query.excluded if image in place]
        scores[outside] = -torch.inf
        yield ScoredRanking(scores, ids, place)
