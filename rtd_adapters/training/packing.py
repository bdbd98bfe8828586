"""Runs a text tower on packed texts: no padding, no beginning twice, the last block where read.

Attention is causal, so a token's states depend on the tokens before it and on nothing behind. Texts
that begin alike therefore share their beginning's states, and the texts of a batch form a tree. A
pack lays the tree's nodes end to end: all linear layers run once a node; just the attention unfolds
them into padded texts. Equal to the padded computation up to rounding
(tests/training/test_fast.py). All of this is ours; the paper's script pads every text to 77 tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rtd_adapters.clip.onednn import FastLinear
from rtd_adapters.clip.text import TextTower

ROUND = 64
"""Packs have a multiple of so many nodes, for oneDNN keeps code for every size it meets. Nobody
reads what is spare."""


@dataclass(frozen=True)
class Pack:
    """B texts of at most W tokens as a tree of N nodes, and where everything is."""

    positions: Tensor
    """[N] place of each node in its texts, for the position embedding."""
    unfold: Tensor
    """[B * W] node of each token of each padded text; behind its end a text repeats its end."""
    fold: Tensor
    """[N] a place in the padded texts, flat, where each node stands."""
    ends: Tensor
    """[B] place of each text's last token, which is the one that is read."""

    @property
    def width(self) -> int:
        """W, tokens of the longest text."""
        return len(self.unfold) // len(self.ends)

    def to(self, device: torch.device) -> Pack:
        """The same on a device."""
        parts = (self.positions, self.unfold, self.fold, self.ends)
        return Pack(*(part.to(device) for part in parts))


def pack_texts(keys: Tensor, ends: Tensor) -> Pack:
    """Find the tree of some texts.

    Args:
        keys: [B, W] what stands at each place, as non-negative integers: equal keys, equal input.
        ends: [B] place of each text's last token.
    """
    rows, width = keys.shape
    nodes = torch.zeros(rows, width, dtype=torch.long)
    parents = torch.zeros(rows, dtype=torch.long)
    positions, fold, count = [], [], 0
    base = int(keys.max()) + 1
    for column in range(width):
        alive = (ends >= column).nonzero().flatten()
        fresh, member = torch.unique(
            parents[alive] * base + keys[alive, column], return_inverse=True
        )
        parents[alive] = count + member
        nodes[:, column] = parents
        first = torch.full((len(fresh),), rows).scatter_reduce_(0, member, alive, "amin")
        fold.append(first * width + column)
        positions.append(torch.full((len(fresh),), column))
        count += len(fresh)
    spare = torch.zeros(-count % ROUND, dtype=torch.long)
    return Pack(torch.cat([*positions, spare]), nodes.flatten(), torch.cat([*fold, spare]), ends)


def encode_pack(tower: TextTower, pack: Pack, embedded: Tensor, recompute: bool = False) -> Tensor:
    """[B, embed_dim] embeddings of the texts, unnormalised.

    Args:
        tower: TextTower, with or without LoRA layers in it.
        pack: the texts.
        embedded: [B, W, width] their embedded tokens, positions not added (`TextTower.embed`).
        recompute: keep no activations inside the blocks and compute them again for the gradient.
    """
    x = embedded.flatten(0, 1).index_select(0, pack.fold)
    x = x + tower.positions(pack.positions)
    blocks: list[Any] = list(tower.transformer.resblocks)
    last = blocks.pop()
    for block in blocks:
        x = (
            checkpoint(_block, block, x, pack, use_reentrant=False)
            if recompute
            else _block(block, x, pack)
        )
    return tower.project(tower.ln_final(_last_block(last, x, pack)))


@FastLinear()
def _block(block: Any, x: Tensor, pack: Pack) -> Tensor:
    """A block at every node, [N, width]."""
    attention, normal = block.attn, block.ln_1(x)
    q, k, v = (
        _unfold(project(normal), attention, pack)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    attended = _attend(q, k, v).transpose(1, 2).flatten(2).flatten(0, 1)
    x = x + attention.out_proj(attended.index_select(0, pack.fold))
    return x + block.mlp(block.ln_2(x))


@FastLinear()
def _last_block(block: Any, x: Tensor, pack: Pack) -> Tensor:
    """A block at the texts' ends, [B, width]."""
    attention, normal = block.attn, block.ln_1(x)
    k, v = (
        _unfold(project(normal), attention, pack)
        for project in (attention.k_proj, attention.v_proj)
    )
    rows = torch.arange(len(pack.ends), device=x.device)
    ends = pack.unfold.index_select(0, rows * pack.width + pack.ends)
    q = attention.q_proj(normal.index_select(0, ends)).unflatten(-1, (attention.heads, 1, -1))
    read = torch.arange(pack.width, device=x.device) <= pack.ends[:, None]
    attended = _attend(q, k, v, read[:, None, None])
    x = x.index_select(0, ends) + attention.out_proj(attended.flatten(1))
    return x + block.mlp(block.ln_2(x))


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention [B, heads, L, width / heads]; causal where no mask is given."""
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, mask, is_causal=mask is None)
    # PyTorch's CPU kernel takes five times as long for bf16's gradients as for fp32's.
    with torch.autocast("cpu", enabled=False):
        q, k, v = q.float(), k.float(), v.float()
        return F.scaled_dot_product_attention(q, k, v, mask, is_causal=mask is None)


def _unfold(x: Tensor, attention: Any, pack: Pack) -> Tensor:
    """Nodes [N, width] as padded texts [B, heads, W, width / heads]."""
    rows = x.index_select(0, pack.unfold).view(len(pack.ends), pack.width, attention.heads, -1)
    return rows.transpose(1, 2)
