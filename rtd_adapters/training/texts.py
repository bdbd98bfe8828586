"""Embeds texts and queries through one pack."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rtd_adapters.methods import Query
from rtd_adapters.text import TextTower, Tokenizer
from rtd_adapters.training.engine import prompt_ids
from rtd_adapters.training.packing import encode_pack, pack_texts

Texts = Query | Sequence[str]


def encode_texts(
    tower: TextTower, tokenizer: Tokenizer, groups: Sequence[Texts], recompute: bool = False
) -> Tensor:
    """[N, embed_dim] unnormalised embeddings of all texts of all groups, in order.

    Args:
        tower: TextTower, with or without LoRA layers in it.
        tokenizer: the method's.
        groups: plain texts, and queries with their pseudo tokens.
        recompute: see `encode_pack`.
    """
    device = tower.positional_embedding.device
    ids = [_ids(tokenizer, group) for group in groups]
    ends = torch.cat([rows.argmax(dim=1) for rows in ids])
    ids = [rows[:, : int(ends.max()) + 1] for rows in ids]
    keys = _keys(tower, tokenizer, groups, ids)
    embedded = [
        tower.embed(rows.to(device), group.pseudo_tokens, tokenizer.placeholder_id)
        if isinstance(group, Query)
        else tower.embed(rows.to(device))
        for rows, group in zip(ids, groups, strict=True)
    ]
    pack = pack_texts(torch.cat(keys), ends).to(device)
    return encode_pack(tower, pack, torch.cat(embedded), recompute)


def _ids(tokenizer: Tokenizer, group: Texts) -> Tensor:
    if isinstance(group, Query):
        return prompt_ids(tokenizer, group.prompts)
    return tokenizer.encode(group)


def _keys(
    tower: TextTower, tokenizer: Tokenizer, groups: Sequence[Texts], ids: Sequence[Tensor]
) -> list[Tensor]:
    """Ids in which each pseudo token has a number of its own, above the vocabulary.

    Queries with equal pseudo tokens, such as composed and bare ones, share the numbers.
    """
    numbered: list[tuple[Tensor, int]] = []
    free = tower.config.vocab_size
    keys = []
    for rows, group in zip(ids, groups, strict=True):
        if not isinstance(group, Query):
            keys.append(rows)
            continue
        pseudo = group.pseudo_tokens
        first = next((number for other, number in numbered if torch.equal(other, pseudo)), free)
        if first == free:
            numbered.append((pseudo, free))
            free += pseudo.shape[0] * pseudo.shape[1]
        holes = torch.eq(rows, tokenizer.placeholder_id or 0)  # prompt_ids refused one without
        number = torch.arange(len(rows))[:, None] * pseudo.shape[1] + holes.cumsum(dim=1) - 1
        keys.append(torch.where(holes, first + number, rows))
    return keys
