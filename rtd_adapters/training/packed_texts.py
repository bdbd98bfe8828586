"""Embeds plain texts and composed queries through one pack."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rtd_adapters.clip.text import TextTower, Tokenizer
from rtd_adapters.compute.devices import onto
from rtd_adapters.methods.query import Composition, Query, query_ids
from rtd_adapters.training.packed_tower import encode_pack, pack_texts


def embed_compositions(
    tower: TextTower,
    tokenizer: Tokenizer,
    compositions: Sequence[Composition],
    recompute: bool = False,
) -> list[Tensor]:
    """[B, embed_dim] unnormalised embeddings of each composition; all their texts in one pack.

    Arguments as in `embed_queries`.
    """
    queries = [query for part in compositions for query in part.queries]
    whole = embed_queries(tower, tokenizer, queries, recompute)
    own = iter(whole.split([len(query.prompts) for query in queries]))
    return [part.combined([next(own) for _ in part.queries]) for part in compositions]


def embed_queries(
    tower: TextTower, tokenizer: Tokenizer, queries: Sequence[Query], recompute: bool = False
) -> Tensor:
    """[N, embed_dim] unnormalised embeddings of all prompts of all queries, in order.

    Args:
        tower: TextTower, with or without LoRA layers in it.
        tokenizer: the method's.
        queries: plain texts, and prompts with their pseudo tokens.
        recompute: see `encode_pack`.
    """
    ids = [query_ids(tokenizer, query) for query in queries]
    whole = tower.trimmed(torch.cat(ids))
    ids = [rows[:, : whole.shape[1]] for rows in ids]
    keys = _keys(tower, tokenizer, queries, ids)
    for rows, query in zip(ids, queries, strict=True):
        tower.require_placeholders(rows, query.pseudo_tokens, tokenizer.placeholder_id)
    embedded = [
        tower.embed(onto(rows, tower.device), query.pseudo_tokens, tokenizer.placeholder_id)
        for rows, query in zip(ids, queries, strict=True)
    ]
    pack = pack_texts(tower, whole, torch.cat(keys)).to(tower.device)
    return encode_pack(tower, pack, onto(whole, tower.device), torch.cat(embedded), recompute)


def _keys(
    tower: TextTower, tokenizer: Tokenizer, queries: Sequence[Query], ids: Sequence[Tensor]
) -> list[Tensor]:
    """Ids in which each pseudo token has a number of its own, above the vocabulary.

    Queries with equal pseudo tokens, such as composed and bare ones, share the numbers.
    """
    numbered: list[tuple[Tensor, int]] = []
    free = tower.config.vocab_size
    keys = []
    for rows, query in zip(ids, queries, strict=True):
        pseudo = query.pseudo_tokens
        if pseudo is None:
            keys.append(rows)
            continue
        first = next((number for other, number in numbered if _alike(other, pseudo)), free)
        if first == free:
            numbered.append((pseudo, free))
            free += pseudo.shape[0] * pseudo.shape[1]
        holes = torch.eq(rows, tokenizer.placeholder_id or 0)  # query_ids refused one without
        number = torch.arange(len(rows))[:, None] * pseudo.shape[1] + holes.cumsum(dim=1) - 1
        keys.append(torch.where(holes, first + number, rows))
    return keys


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether two queries' pseudo tokens are known to be equal. A GPU is not asked, for the answer
    would have to be waited for: queries that share theirs there share the tensor."""
    return one is other or (one.device.type == "cpu" and torch.equal(one, other))
