"""Captions, embedded by any text tower: as they stand, and as references of composed queries."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rtd_adapters.clip.text import TextTower, Tokenizer
from rtd_adapters.evaluation.benchmark import Benchmark
from rtd_adapters.evaluation.inputs import Evaluation
from rtd_adapters.methods.query import Composition, embed_composition
from rtd_adapters.methods.stand_ins import CaptionSide, words_in_place


def captioned_pictures(benchmark: Benchmark) -> list[tuple[str, str]]:
    """(caption, image id), each pair once: the benchmark's captions of the pictures in its
    galleries, and its queries that are plain captions."""
    galleries = dict.fromkeys(image for part in benchmark.parts for image in part.gallery)
    own = [(text, image) for image in galleries for text in benchmark.captions.get(image, ())]
    asked = [
        (text, image)
        for part in benchmark.parts
        for query in part.queries
        if not query.reference
        for text in query.texts
        for image in query.targets
    ]
    return list(dict.fromkeys((*own, *asked)))


@dataclass(frozen=True)
class CaptionEmbedder:
    """Unit embeddings [N, embed_dim] on the CPU, of captions and of queries made of them."""

    evaluation: Evaluation

    def plain(self, tower: TextTower, captions: Sequence[str]) -> Tensor:
        """Of captions, word for word."""
        return self._embed(tower, captions, captions, lambda side, c, t: Composition.of(c))

    def refined(self, tower: TextTower, captions: Sequence[str], texts: Sequence[str]) -> Tensor:
        """Of refined concatenations: the pseudo token of each caption's frozen embedding, without
        noise, with the conditioning text.

        Raises:
            TripletError: a text is so long that its prompt loses the placeholder.
            UsageError: no projection was loaded.
        """
        method, projection = self.evaluation.method, self.evaluation.composing_projection()
        backbone = self.evaluation.backbone

        def composed(side: CaptionSide, captions: list[str], texts: list[str]) -> Composition:
            embedding = backbone.tower(side.tokenizer.encode(captions).to(tower.device))
            reference = side.reference(method, captions, embedding, tower)
            return method.composed(projection, reference, texts)

        return self._embed(tower, captions, texts, composed)

    def replaced(self, tower: TextTower, captions: Sequence[str], texts: Sequence[str]) -> Tensor:
        """Of direct replacements: the caption's own words in the pseudo token's place."""
        method = self.evaluation.method
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a few such prompts are cut; pseudo tokens never are
            return self._embed(
                tower, captions, texts, lambda side, c, t: words_in_place(method, c, t)
            )

    @torch.no_grad()
    def _embed(
        self,
        tower: TextTower,
        captions: Sequence[str],
        texts: Sequence[str],
        compose: Callable[[CaptionSide, list[str], list[str]], Composition],
    ) -> Tensor:
        backbone, size = self.evaluation.backbone, self.evaluation.options.batch_size
        tokenizer: Tokenizer = self.evaluation.method.tokenizer(tower)
        side = CaptionSide(backbone.tower, tokenizer, backbone.image_head, lambda vectors: vectors)
        rows = []
        for start in range(0, len(captions), size):
            cleaned = (
                [tokenizer.clean(text) for text in given[start : start + size]]
                for given in (captions, texts)
            )
            embeddings = embed_composition(tower, tokenizer, compose(side, *cleaned))
            rows.append(F.normalize(embeddings.float(), dim=-1).cpu())
        return torch.cat(rows)
