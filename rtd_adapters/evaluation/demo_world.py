"""Composed retrieval in the built-in world, and what a patch costs plain text-to-image search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtd_adapters.backbones import Backbone
from rtd_adapters.demo.clip import pixels
from rtd_adapters.demo.queries import QuerySet
from rtd_adapters.evaluation.metrics import recall_at, target_ranks
from rtd_adapters.images import image_states
from rtd_adapters.methods import ImageFeatures, Method
from rtd_adapters.text import TextTower
from rtd_adapters.training.engine import encode_query

CUTOFFS = (1, 5, 10)
CHUNK = 250


@dataclass
class DemoWorld:
    """Held-out composed queries and their gallery, embedded once and searched by any text tower."""

    method: Method
    projection: nn.Module
    queries: QuerySet
    gallery: Tensor
    """[N, embed_dim] image embeddings, not normalised."""
    tokens: Tensor
    """[N, 1 + patches, image width] their states."""

    @classmethod
    @torch.no_grad()
    def build(
        cls, method: Method, projection: nn.Module, backbone: Backbone, queries: QuerySet
    ) -> DemoWorld:
        """Draw and embed the gallery of a query set."""
        model: Any = backbone.model
        found = [image_states(model, part) for part in pixels(queries.images()).split(CHUNK)]
        gallery = torch.cat([part.embedding for part in found])
        tokens = torch.cat([part.tokens for part in found])
        return cls(method, projection, queries, gallery, tokens)

    @torch.no_grad()
    def evaluate(self, tower: TextTower) -> dict[str, float]:
        """Metric name -> per cent.

        `recall@K` keeps the reference image in the gallery, `recall@1_without_reference` takes it
        out, and `text_to_image_recall@K` searches with the full target caption.
        """
        targets = torch.tensor(self.queries.targets)
        references = torch.tensor(self.queries.references)
        composed = self._scores(self._composed(tower))
        plain = self._scores(self._captions(tower))
        kept = recall_at(target_ranks(composed, targets), CUTOFFS)
        removed = recall_at(target_ranks(composed, targets, references), (1,))
        text = recall_at(target_ranks(plain, targets), CUTOFFS)
        return {
            **{f"recall@{k}": value for k, value in kept.items()},
            "recall@1_without_reference": removed[1],
            **{f"text_to_image_recall@{k}": value for k, value in text.items()},
        }

    def _scores(self, queries: Tensor) -> Tensor:
        return F.normalize(queries, dim=-1) @ F.normalize(self.gallery, dim=-1).T

    def _composed(self, tower: TextTower) -> Tensor:
        tokenizer = self.method.tokenizer(tower.config.context_length)
        rows = []
        for start in range(0, len(self.queries.targets), CHUNK):
            part = slice(start, start + CHUNK)
            shown = self.queries.references[part]
            image = ImageFeatures(self.gallery[shown], self.tokens[shown], tower, tokenizer)
            query = self.method.image_query(self.projection, image, self.queries.texts[part])
            rows.append(encode_query(tower, tokenizer, query))
        return torch.cat(rows)

    def _captions(self, tower: TextTower) -> Tensor:
        tokenizer = self.method.tokenizer(tower.config.context_length)
        captions = self.queries.target_captions
        rows = [
            tower(tokenizer.encode(captions[start : start + CHUNK]))
            for start in range(0, len(captions), CHUNK)
        ]
        return torch.cat(rows)
