"""Composed queries, embedded by a method with one text tower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.clip.text import TextTower
from rtd_adapters.errors import EvaluationError, UsageError
from rtd_adapters.evaluation.benchmark import EvalQuery
from rtd_adapters.evaluation.pictures import (
    picture_embeddings,
    picture_states,
    require_preprocessing,
)
from rtd_adapters.methods.method import Method
from rtd_adapters.methods.query import Composition, embed_composition
from rtd_adapters.methods.reference import Reference

if TYPE_CHECKING:
    from PIL.Image import Image

OPENING = "a photo of"
"""Of bare prompts; what a benchmark's own opening takes the place of."""


def embed_composed(
    method: Method,
    projection: nn.Module,
    backbone: Backbone,
    pictures: Sequence[Image],
    texts: Sequence[str],
    *,
    tower: TextTower | None = None,
    preprocess: str = "clip",
    batch_size: int = 64,
) -> Tensor:
    """[Q, embed_dim] unit embeddings of composed queries, as `evaluate` searches with.

    Args:
        method: says how picture and text make a query.
        projection: the method's, as `load_projection` gives it.
        backbone: sees the pictures.
        pictures: Q reference pictures, in RGB.
        texts: Q conditioning texts.
        tower: encodes the queries: the backbone's own by default, or a patched one, as
            `patched_tower` gives it.
        preprocess: of the pictures, as in `embed_pictures`.
        batch_size: queries at a time.

    Raises:
        UsageError: there are not as many texts as pictures, there is no such preprocessing, or
            the backbone's images were dropped.
        TripletError: a text is so long that its prompt loses the placeholder.
    """
    require_preprocessing(preprocess)
    if len(pictures) != len(texts):
        raise UsageError(
            f"{len(pictures)} reference pictures and {len(texts)} texts make no queries. "
            "Pass one text for each picture."
        )
    embedder, encoder = QueryEmbedder(method, projection), tower or backbone.tower
    queries = [EvalQuery(str(row), str(row), (text,), ()) for row, text in enumerate(texts)]
    embeddings: list[Tensor] = []
    for start in range(0, len(queries), batch_size):
        rows = slice(start, start + batch_size)
        shown, states = pictures[rows], None
        if method.needs_states:
            seen = picture_states(backbone, shown, preprocess)
            vectors, states = seen.embedding, seen.tokens
        else:
            vectors = picture_embeddings(backbone, shown, preprocess)
        embeddings.append(embedder.embed(encoder, queries[rows], vectors, states))
    return torch.cat(embeddings) if embeddings else torch.empty(0, backbone.shape.embed_dim)


@dataclass(frozen=True)
class QueryEmbedder:
    """A method with its projection, ready to embed queries with any text tower."""

    method: Method
    projection: nn.Module
    benchmark: str = ""
    """Where the queries come from, for what is said of them."""

    @torch.no_grad()
    def embed(
        self,
        tower: TextTower,
        queries: Sequence[EvalQuery],
        embedding: Tensor | None,
        states: Tensor | None = None,
    ) -> Tensor:
        """[Q, embed_dim] unit embeddings of composed queries, or of plain captions.

        Args:
            tower: base or patched.
            queries: with the same number of texts each.
            embedding: [Q, embed_dim] of the queries' references, not normalised, on any device;
                None for plain captions, which have none, nor a prompt: they are embedded word for
                word.
            states: [Q, 1 + patches, image width] of them, for methods that read such.

        Raises:
            EvaluationError: a query changes how the bare prompt opens, and the method's opens in
                another way; or only some of the queries are bare.
        """
        tokenizer = self.method.tokenizer(tower.config.context_length)
        if states is not None:
            states = states.to(tower.device)
        orders = []
        for texts in zip(*(query.texts for query in queries), strict=True):
            if embedding is None:
                composition = Composition.of(texts)
            else:
                pictures = embedding.to(tower.device)
                reference = Reference.of_pictures(pictures, tower, tokenizer, states)
                cleaned = [tokenizer.clean(text) for text in texts]
                composition = self._composition(reference, queries, cleaned)
            embeddings = embed_composition(tower, tokenizer, composition)
            orders.append(F.normalize(embeddings.float(), dim=-1))
        return F.normalize(torch.stack(orders).mean(0), dim=-1)

    def _composition(
        self, reference: Reference, queries: Sequence[EvalQuery], texts: list[str]
    ) -> Composition:
        bare = [query.bare for query in queries if query.bare is not None]
        if not bare:
            return self.method.composed(self.projection, reference, texts)
        if len(bare) < len(queries):
            raise EvaluationError(
                f"{self.benchmark} asks some queries with a bare prompt and some without. "
                "Give all queries of a part `bare`, or none."
            )

        def rewritten(row: int, prompt: str) -> str:
            opening, ending = bare[row]
            require_opening(prompt, self.method, self.benchmark)
            return prompt.replace(OPENING, opening, 1) + ending

        return self.method.bare(self.projection, reference, texts).with_prompts(rewritten)


def require_opening(prompt: str, method: Method, benchmark: str) -> None:
    """Refuse a bare prompt whose opening a benchmark cannot change.

    Raises:
        EvaluationError: it does not say "a photo of".
    """
    if OPENING not in prompt:
        raise EvaluationError(
            f"{benchmark} asks in its own words where a bare prompt says {OPENING!r}, and that of "
            f"{method.name} is {prompt!r}. Evaluate it on another benchmark, or write {OPENING!r} "
            "into the method's bare_prompt."
        )
