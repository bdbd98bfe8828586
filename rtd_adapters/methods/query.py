"""Queries: prompts with pseudo tokens, and how their embeddings make a composed query's one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from rtd_adapters.clip.text import TextTower, Tokenizer

Combine = Callable[[Sequence["Tensor"]], "Tensor"]


@dataclass(frozen=True)
class Query:
    """B prompts and the pseudo tokens that stand at their placeholders."""

    prompts: Sequence[str]
    pseudo_tokens: Tensor | None = None
    """[B, K, text width]; a prompt with n <= K placeholders uses its first n. None for plain text,
    which has no placeholders."""


@dataclass(frozen=True)
class Composition:
    """B composed queries: what the text tower embeds for each of them, and what becomes of that."""

    queries: tuple[Query, ...]
    """Of B prompts each."""
    combine: Combine | None = None
    """Unnormalised embeddings [B, embed_dim], one for each query, to the composition's own
    [B, embed_dim]. None where there is one query, whose embedding it is."""

    @classmethod
    def of(cls, prompts: Sequence[str], pseudo_tokens: Tensor | None = None) -> Composition:
        """One query, as it is."""
        return cls((Query(prompts, pseudo_tokens),))

    @classmethod
    def weighted(cls, *queries: tuple[float, Query]) -> Composition:
        """Several queries, whose unit embeddings are added up by weight (as KEDs mixes two)."""
        weights = [weight for weight, _ in queries]

        def combine(embeddings: Sequence[Tensor]) -> Tensor:
            from torch.nn.functional import normalize

            pairs = zip(weights, embeddings, strict=True)
            first, *rest = (weight * normalize(vectors, dim=-1) for weight, vectors in pairs)
            return sum(rest, first)

        return cls(tuple(query for _, query in queries), combine)

    def combined(self, embeddings: Sequence[Tensor]) -> Tensor:
        """[B, embed_dim] from the queries' embeddings, in their order."""
        if self.combine is not None:
            return self.combine(embeddings)
        (own,) = embeddings
        return own

    def with_prompts(self, change: Callable[[int, str], str]) -> Composition:
        """The same with every prompt changed; `change` gets its row and the prompt."""
        changed = (
            replace(query, prompts=[change(row, text) for row, text in enumerate(query.prompts)])
            for query in self.queries
        )
        return replace(self, queries=tuple(changed))


def embed_composition(tower: TextTower, tokenizer: Tokenizer, composition: Composition) -> Tensor:
    """[B, embed_dim] embeddings of composed queries, unnormalised.

    Raises:
        TripletError: a placeholder got lost in tokenization.
    """
    return composition.combined(
        [embed_query(tower, tokenizer, query) for query in composition.queries]
    )


def embed_query(tower: TextTower, tokenizer: Tokenizer, query: Query) -> Tensor:
    """[B, embed_dim] embeddings of a query's prompts with its pseudo tokens, unnormalised."""
    ids = query_ids(tokenizer, query).to(tower.device)
    if query.pseudo_tokens is None:
        return tower(ids)
    return tower(ids, query.pseudo_tokens, tokenizer.placeholder_id)


def query_ids(tokenizer: Tokenizer, query: Query) -> Tensor:
    """[B, context_length] ids of a query's prompts, each placeholder of each prompt found again.

    Raises:
        TripletError: a placeholder got lost in tokenization.
    """
    if query.pseudo_tokens is None:
        return tokenizer.encode(query.prompts)
    sign = tokenizer.placeholder or ""
    return tokenizer.encode_prompts(query.prompts, [p.count(sign) for p in query.prompts])
