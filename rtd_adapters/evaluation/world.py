"""Pictures whose captions are known, and composed queries over them: what figures are taken on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtd_adapters.clip.images import ImageStates
from rtd_adapters.clip.ranks import target_ranks
from rtd_adapters.clip.text import TextTower
from rtd_adapters.evaluation.metrics import recall_at
from rtd_adapters.methods.method import Method
from rtd_adapters.methods.query import embed_composition
from rtd_adapters.methods.reference import Reference
from rtd_adapters.methods.stand_ins import words_in_place

CUTOFFS = (1, 5, 10)
CHUNK = 250


@dataclass(frozen=True)
class CaptionedQueries:
    """Composed queries with captions of what they start from and of what they look for."""

    references: Sequence[int]
    """Gallery place of each query's reference."""
    texts: Sequence[str]
    """Each query's conditioning text."""
    targets: Sequence[int]
    """Gallery place of each query's target, the only right answer."""
    reference_captions: Sequence[str]
    target_captions: Sequence[str]


@dataclass(frozen=True)
class World:
    """Composed queries and their gallery, embedded once and searched by any text tower."""

    method: Method
    projection: nn.Module
    queries: CaptionedQueries
    gallery: ImageStates
    """Of N pictures."""

    @torch.no_grad()
    def evaluate(self, tower: TextTower) -> dict[str, float]:
        """Metric name -> per cent.

        `recall@K` keeps the reference image in the gallery, `recall@1_without_reference` takes it
        out, and `text_to_image_recall@K` searches with the full target caption.
        """
        targets = torch.tensor(self.queries.targets)
        references = torch.tensor(self.queries.references)
        composed = self._scores(self._composed(tower))
        plain = self._scores(self.embed(tower, self.queries.target_captions))
        kept = recall_at(target_ranks(composed, targets), CUTOFFS)
        removed = recall_at(target_ranks(composed, targets, references), (1,))
        text = recall_at(target_ranks(plain, targets), CUTOFFS)
        return {
            **{f"recall@{k}": value for k, value in kept.items()},
            "recall@1_without_reference": removed[1],
            **{f"text_to_image_recall@{k}": value for k, value in text.items()},
        }

    def words_recall(self, tower: TextTower) -> float:
        """Recall at 1 with the reference's caption at the placeholder."""
        captions, texts = self.queries.reference_captions, self.queries.texts
        (asked,) = words_in_place(self.method, captions, texts).queries
        targets = torch.tensor(self.queries.targets)
        ranks = target_ranks(self._scores(self.embed(tower, asked.prompts)), targets)
        return recall_at(ranks, (1,))[1]

    def embed(self, tower: TextTower, texts: Sequence[str]) -> Tensor:
        """[N, embed_dim] unnormalised embeddings of plain texts."""
        tokenizer = self.method.tokenizer(tower)
        starts = range(0, len(texts), CHUNK)
        return torch.cat([tower(tokenizer.encode(texts[s : s + CHUNK])) for s in starts])

    def _composed(self, tower: TextTower) -> Tensor:
        tokenizer = self.method.tokenizer(tower)
        rows = []
        for start in range(0, len(self.queries.targets), CHUNK):
            part = slice(start, start + CHUNK)
            shown = self.queries.references[part]
            reference = Reference.of_pictures(
                self.gallery.embedding[shown], tower, tokenizer, self.gallery.tokens[shown]
            )
            queries = self.method.composed(self.projection, reference, self.queries.texts[part])
            rows.append(embed_composition(tower, tokenizer, queries))
        return torch.cat(rows)

    def _scores(self, queries: Tensor) -> Tensor:
        return F.normalize(queries, dim=-1) @ F.normalize(self.gallery.embedding, dim=-1).T
