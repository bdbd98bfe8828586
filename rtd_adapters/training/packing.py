"""Runs a text tower on packed texts: no padding, shared prefixes once, the last block where read.

A pack lays the tokens of many texts end to end. All linear layers run on real tokens only; just
the attention unfolds them into rows. What all texts begin with is computed once, which changes
nothing: attention is causal, so a prefix never sees what follows it. Equal to the padded
computation up to rounding (tests/training/test_fast.py). All of this is ours; the paper's script
pads every text to 77 tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rtd_adapters.text import TextTower


@dataclass(frozen=True)
class Rider:
    """One more token in every text, seen by none of the others: another text's end of text.

    A text whose tokens but the last are the beginning of a longer one needs no tokens of its own:
    its end of text rides on the longer text, right behind the tokens they share.
    """

    token: int
    place: int
    """How many tokens of the longer text it looks back on."""


@dataclass(frozen=True)
class Pack:
    """Token ids of B texts laid end to end, and where everything is.

    The first `prefix` tokens are what all texts begin with; then follow the texts' own tokens.
    """

    ids: Tensor
    """[T]"""
    positions: Tensor
    """[T] place in the own text, for the position embedding."""
    slots: Tensor
    """[T - prefix] flat index of each own token in the unfolded [B, width]."""
    rows: int
    width: int
    """Own tokens of the longest text."""
    prefix: int
    mask: Tensor
    """[width, prefix + width] true where an own token (row) may look."""
    read: Tensor
    """[R] places in the pack of the states to be pooled: texts' ends, then riders'."""
    read_mask: Tensor
    """[B, R / B, prefix + width] the same for the tokens that are read."""

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return self.ids.device


def pack_texts(ids: Tensor, rider: Rider | None = None, keep: int | None = None) -> Pack:
    """Pack tokenized texts.

    Args:
        ids: [B, L] padded token ids; each text ends at its largest id.
        rider: see `Rider`; its place must lie behind the shared prefix.
        keep: the longest prefix to share; tokens that are replaced one by one are not shared.
    """
    ends = ids.argmax(dim=1)
    prefix = _shared(ids, int(ends.min()) if keep is None else min(keep, int(ends.min())))
    own = ids[:, prefix : int(ends.max()) + 1]
    lengths = ends + 1 - prefix
    places = torch.arange(prefix, prefix + own.shape[1], device=ids.device).expand_as(own)
    if rider is not None:
        at = rider.place - prefix
        own = torch.cat([own[:, :at], own.new_full((len(own), 1), rider.token), own[:, at:]], 1)
        places = torch.cat([places[:, : at + 1], places[:, at:]], 1)
        lengths = lengths + 1
    real = torch.arange(own.shape[1], device=ids.device) < lengths[:, None]
    slots = real.flatten().nonzero().flatten()
    where = torch.cumsum(real.flatten(), 0).view_as(real) - 1 + prefix
    last = where.gather(1, lengths[:, None] - 1)
    mask = _causal(own.shape[1], prefix, ids.device)
    read, read_mask = last, mask[lengths - 1].unsqueeze(1)
    if rider is not None:
        at = rider.place - prefix
        mask[at + 1 :, prefix + at] = False
        read = torch.cat([last, where[:, at : at + 1]], 1)
        read_mask = torch.stack([mask[lengths - 1], mask[at].expand(len(own), -1)], 1)
    first = torch.arange(prefix, device=ids.device)
    return Pack(
        ids=torch.cat([ids[0, :prefix], own[real]]),
        positions=torch.cat([first, places[real]]),
        slots=slots,
        rows=len(own),
        width=own.shape[1],
        prefix=prefix,
        mask=mask,
        read=read.T.flatten(),
        read_mask=read_mask,
    )


def encode_pack(
    tower: TextTower,
    pack: Pack,
    pseudo_tokens: Tensor | None = None,
    placeholder_id: int = -1,
) -> Tensor:
    """[R, embed_dim] embeddings, unnormalised: the B texts in order, then the riders' B.

    Args:
        tower: TextTower, with or without LoRA layers in it.
        pack: the texts.
        pseudo_tokens: [N, width], one for each placeholder of the pack in order.
        placeholder_id: the token they replace.
    """
    x = tower.token_embedding(pack.ids)
    if pseudo_tokens is not None:
        holes = torch.eq(pack.ids, placeholder_id).nonzero(as_tuple=True)
        x = x.index_put(holes, pseudo_tokens.to(x.dtype))
    x = x + tower.positional_embedding[pack.positions]
    blocks: list[Any] = list(tower.transformer.resblocks)
    last = blocks.pop()
    for block in blocks:
        x = x + _attend(block.attn, block.ln_1(x), pack)
        x = x + block.mlp(block.ln_2(x))
    x = x[pack.read] + _attend_read(last.attn, last.ln_1(x), pack)
    x = x + last.mlp(last.ln_2(x))
    return tower.ln_final(x) @ tower.text_projection


def _attend(attention: Any, x: Tensor, pack: Pack) -> Tensor:
    """Attention of every token of the pack, [T, width]."""
    q, k, v = _heads(attention, x)
    own = _look(_unfold(q, pack), _behind_prefix(k, pack), _behind_prefix(v, pack), pack.mask)
    parts = [own.transpose(1, 2).flatten(0, 1)[pack.slots]]
    if pack.prefix:
        q, k, v = (part[: pack.prefix].transpose(0, 1).unsqueeze(0) for part in (q, k, v))
        shared = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        parts.insert(0, shared[0].transpose(0, 1))
    return attention.out_proj(torch.cat(parts).flatten(1))


def _attend_read(attention: Any, x: Tensor, pack: Pack) -> Tensor:
    """Attention of the tokens that are read, [R, width]."""
    k, v = (_split(attention, project(x)) for project in (attention.k_proj, attention.v_proj))
    q = _split(attention, attention.q_proj(x[pack.read]))
    rows = q.view(-1, pack.rows, *q.shape[1:]).permute(1, 2, 0, 3)
    seen = _look(
        rows, _behind_prefix(k, pack), _behind_prefix(v, pack), pack.read_mask.unsqueeze(1)
    )
    return attention.out_proj(seen.permute(2, 0, 1, 3).flatten(0, 1).flatten(1))


def _look(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def _heads(attention: Any, x: Tensor) -> list[Tensor]:
    return [
        _split(attention, project(x))
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    ]


def _split(attention: Any, x: Tensor) -> Tensor:
    """[T, width] to [T, heads, width / heads]."""
    return x.unflatten(-1, (attention.heads, -1))


def _unfold(x: Tensor, pack: Pack) -> Tensor:
    """Own tokens [T, heads, d] as rows [B, heads, width, d]; what no text fills is zero."""
    rows = x.new_zeros(pack.rows * pack.width, *x.shape[1:])
    rows = rows.index_copy(0, pack.slots, x[pack.prefix :])
    return rows.view(pack.rows, pack.width, *x.shape[1:]).transpose(1, 2)


def _behind_prefix(x: Tensor, pack: Pack) -> Tensor:
    """Own tokens as rows, each behind the shared prefix: [B, heads, prefix + width, d]."""
    shared = x[: pack.prefix].transpose(0, 1).expand(pack.rows, -1, -1, -1)
    return torch.cat([shared, _unfold(x, pack)], dim=2)


def _shared(ids: Tensor, most: int) -> int:
    """Length of the longest common beginning, at most `most`."""
    same = (ids[:, :most] == ids[:1, :most]).all(dim=0)
    return int(same.cumprod(0).sum())


def _causal(width: int, prefix: int, device: torch.device) -> Tensor:
    own = torch.ones(width, width, dtype=torch.bool, device=device).tril()
    return torch.cat([own.new_ones(width, prefix), own], dim=1)
