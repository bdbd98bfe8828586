"""Embeds plain texts and composed queries through one pack."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rtd_adapters.clip.text import TextTower, Tokenizer
from rtd_adapters.methods.query import Composition, Query, query_ids
from rtd_adapters.training.packed_tower import encode_pack, pack_texts
from rtd_adapters.training.packs import PackedIds, Packs


def embed_compositions(
    tower: TextTower,
    tokenizer: Tokenizer,
    compositions: Sequence[Composition],
    recompute: bool = False,
    packs: Packs | None = None,
) -> list[Tensor]:
    """[B, embed_dim] unnormalised embeddings of each composition; all their texts in one pack.

    Arguments as in `embed_queries`.
    """
    queries = [query for part in compositions for query in part.queries]
    whole = embed_queries(tower, tokenizer, queries, recompute, packs)
    own = iter(whole.split([len(query.prompts) for query in queries]))
    return [part.combined([next(own) for _ in part.queries]) for part in compositions]


def embed_queries(
    tower: TextTower,
    tokenizer: Tokenizer,
    queries: Sequence[Query],
    recompute: bool = False,
    packs: Packs | None = None,
) -> Tensor:
    """[N, embed_dim] unnormalised embeddings of all prompts of all queries, in order.

    Args:
        tower: TextTower, with or without LoRA layers in it.
        tokenizer: the method's.
        queries: plain texts, and prompts with their pseudo tokens.
        recompute: see `encode_pack`.
        packs: where their pack may lie, or is to. With a tower without weights, on torch's meta
            device, nothing comes but that.
    """
    owners = _owners(queries)

    def make() -> PackedIds:
        return _packed(tower, tokenizer, queries, owners)

    texts = make() if packs is None else packs.of(queries, owners, make)
    if packs is not None and tower.device.type == "meta":
        return torch.empty(len(texts.ids), tower.config.embed_dim, device="meta")
    texts = texts.to(tower.device)
    embedded = [
        tower.embed(rows, query.pseudo_tokens, tokenizer.placeholder_id)
        for rows, query in zip(_split(texts.ids, queries), queries, strict=True)
    ]
    return encode_pack(tower, texts.pack, texts.ids, torch.cat(embedded), recompute)


def _packed(
    tower: TextTower,
    tokenizer: Tokenizer,
    queries: Sequence[Query],
    owners: Sequence[int | None],
) -> PackedIds:
    """All prompts tokenized and in one pack."""
    ids = tower.trimmed(torch.cat([query_ids(tokenizer, query) for query in queries]))
    for rows, query in zip(_split(ids, queries), queries, strict=True):
        tower.require_placeholders(rows, query.pseudo_tokens, tokenizer.placeholder_id)
    keys = _keys(tower, tokenizer, queries, owners, _split(ids, queries))
    return PackedIds(ids, pack_texts(tower, ids, torch.cat(keys)))


def _split(ids: Tensor, queries: Sequence[Query]) -> Sequence[Tensor]:
    return ids.split([len(query.prompts) for query in queries])


def _owners(queries: Sequence[Query]) -> list[int | None]:
    """Of each query the first one that has the same pseudo tokens, as composed and bare ones have;
    None for plain text."""
    owners: list[int | None] = []
    for place, query in enumerate(queries):
        own = query.pseudo_tokens
        if own is None:
            owners.append(None)
            continue
        earlier = (n for n, owner in enumerate(owners) if owner == n)
        tokens = ((n, queries[n].pseudo_tokens) for n in earlier)
        owners.append(next((n for n, t in tokens if t is not None and _alike(t, own)), place))
    return owners


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether two queries' pseudo tokens are known to be equal. A GPU is not asked, for the answer
    would have to be waited for: queries that share theirs there share the tensor."""
    return one is other or (one.device.type == "cpu" and torch.equal(one, other))


def _keys(
    tower: TextTower,
    tokenizer: Tokenizer,
    queries: Sequence[Query],
    owners: Sequence[int | None],
    ids: Sequence[Tensor],
) -> list[Tensor]:
    """Ids in which each pseudo token has a number of its own, above the vocabulary.

    Queries with equal pseudo tokens share the numbers.
    """
    first: dict[int, int] = {}
    free = tower.config.vocab_size
    keys = []
    for place, (rows, query, owner) in enumerate(zip(ids, queries, owners, strict=True)):
        pseudo = query.pseudo_tokens
        if pseudo is None or owner is None:
            keys.append(rows)
            continue
        if owner == place:
            first[place] = free
            free += pseudo.shape[0] * pseudo.shape[1]
        holes = torch.eq(rows, tokenizer.placeholder_id or 0)  # query_ids refused one without
        number = torch.arange(len(rows))[:, None] * pseudo.shape[1] + holes.cumsum(dim=1) - 1
        keys.append(torch.where(holes, first[owner] + number, rows))
    return keys
