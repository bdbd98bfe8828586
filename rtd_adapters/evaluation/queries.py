"""Composed queries and plain captions, embedded by one text tower."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.clip.text import TextTower, Tokenizer
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
    require_pairs(len(pictures), len(texts))
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


def require_pairs(pictures: int, texts: int) -> None:
    """Refuse queries that lack a side.

    Raises:
        UsageError: there are not as many texts as pictures.
    """
    if pictures != texts:
        raise UsageError(
            f"{pictures} reference pictures and {texts} texts make no queries. "
            "Pass one text for each picture."
        )


@torch.no_grad()
def embed_plain(tower: TextTower, tokenizer: Tokenizer, queries: Sequence[EvalQuery]) -> Tensor:
    """[Q, embed_dim] unit embeddings of plain captions, word for word: no prompt, no picture.

    Args:
        tower: base or patched.
        tokenizer: reads them: a method's, or the tower's own.
        queries: with the same number of texts each, whose unit embeddings are averaged.
    """
    orders = zip(*(query.texts for query in queries), strict=True)
    return mean_of_units(
        [embed_composition(tower, tokenizer, Composition.of(texts)) for texts in orders]
    )


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
        embedding: Tensor,
        states: Tensor | None = None,
    ) -> Tensor:
        """[Q, embed_dim] unit embeddings of composed queries.

        Where queries have several texts, the unit embeddings of all are averaged. Arguments and
        errors as in `sides`.
        """
        return averaged(self.sides(tower, queries, embedding, states), COMPOSED)

    def sides(
        self,
        tower: TextTower,
        queries: Sequence[EvalQuery],
        embedding: Tensor,
        states: Tensor | None = None,
    ) -> list[Sides]:
        """What the queries are made of, once for each of their texts.

        Args:
            tower: base or patched.
            queries: with the same number of texts each.
            embedding: [Q, embed_dim] of the queries' references, not normalised, on any device.
            states: [Q, 1 + patches, image width] of them, for methods that read such.

        Raises:
            EvaluationError: a query changes how the bare prompt opens, and the method's opens in
                another way; or only some of the queries are bare. `Sides.composed` raises it.
        """
        tokenizer = self.method.tokenizer(tower)
        if states is not None:
            states = states.to(tower.device)
        reference = Reference.of_pictures(embedding.to(tower.device), tower, tokenizer, states)
        return [
            Sides(self, reference, queries, [tokenizer.clean(text) for text in texts])
            for texts in zip(*(query.texts for query in queries), strict=True)
        ]

    def composition(
        self, reference: Reference, queries: Sequence[EvalQuery], texts: Sequence[str]
    ) -> Composition:
        """The queries as the method asks them, with one text each; errors as in `sides`."""
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


@dataclass(frozen=True)
class Sides:
    """What queries are made of: [Q, embed_dim] unit embeddings, each computed when asked for."""

    embedder: QueryEmbedder
    reference: Reference
    """Of Q pictures; its tower embeds the texts."""
    queries: Sequence[EvalQuery]
    texts: Sequence[str]
    """Q cleaned conditioning texts."""

    @cached_property
    def picture(self) -> Tensor:
        """The reference pictures."""
        return F.normalize(self.reference.embedding.float(), dim=-1)

    @cached_property
    def text(self) -> Tensor:
        """The conditioning texts as they are, in no prompt."""
        return self._embedded(Composition.of(self.texts))

    @cached_property
    def bare(self) -> Tensor:
        """The method's bare prompt: the pseudo token without a conditioning text."""
        return self._embedded(self.embedder.method.bare(self.embedder.projection, self.reference))

    @cached_property
    def composed(self) -> Tensor:
        """The composed queries, as the method asks them."""
        return self._embedded(self.embedder.composition(self.reference, self.queries, self.texts))

    @torch.no_grad()
    def _embedded(self, composition: Composition) -> Tensor:
        tower, tokenizer = self.reference.tower, self.reference.tokenizer
        return F.normalize(embed_composition(tower, tokenizer, composition).float(), dim=-1)


Way = Callable[[Sides], Tensor]
"""[Q, embed_dim] query embeddings, normalised or not, made of the sides."""
COMPOSED: Way = attrgetter("composed")


def averaged(orders: Sequence[Sides], way: Way) -> Tensor:
    """[Q, embed_dim] units of queries made one way: the mean over the orders of their texts."""
    return mean_of_units([way(sides) for sides in orders])


def mean_of_units(embeddings: Sequence[Tensor]) -> Tensor:
    """[Q, embed_dim] units: the mean of some embeddings' units."""
    units = [F.normalize(vectors.float(), dim=-1) for vectors in embeddings]
    return F.normalize(torch.stack(units).mean(0), dim=-1)


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
