"""Runs a text tower on packed texts: its last block runs only where it is read.

Equal to the padded computation up to rounding (tests/training/test_fast.py, tests/towers).
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
from rtd_adapters.clip.text.attention import Attend, Sight
from rtd_adapters.training.packing import Pack, share_beginnings, share_texts


@dataclass(frozen=True)
class PackedTexts:
    """Nodes [N, width] of a pack, read everywhere: an `Attend`."""

    pack: Pack
    sight: Sight

    def pick(self, states: Tensor) -> Tensor:
        """All of them."""
        return states

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, heads: int, scale: float | None) -> Tensor:
        """[N, heads * head width] of the same."""
        q, k, v = (self.unfold(rows, heads) for rows in (q, k, v))
        seen = _attention(q, k, v, self.sight, scale)
        return seen.transpose(1, 2).flatten(2).flatten(0, 1).index_select(0, self.pack.fold)

    def unfold(self, nodes: Tensor, heads: int) -> Tensor:
        """Nodes [N, heads * head width] as padded texts [U, heads, W, head width]."""
        rows = nodes.index_select(0, self.pack.unfold)
        return rows.view(len(self.pack.ends), self.pack.width, heads, -1).transpose(1, 2)


@dataclass(frozen=True)
class PackedEnds(PackedTexts):
    """The same, read at the texts' ends alone, [U, width]."""

    def pick(self, states: Tensor) -> Tensor:
        """Those at the ends."""
        rows = torch.arange(len(self.pack.ends), device=states.device)
        nodes = self.pack.unfold.index_select(0, rows * self.pack.width + self.pack.ends)
        return states.index_select(0, nodes)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, heads: int, scale: float | None) -> Tensor:
        """[U, heads * head width] from ends `q` and nodes `k` and `v`."""
        q = q.unflatten(-1, (heads, 1, -1))
        k, v = self.unfold(k, heads), self.unfold(v, heads)
        return _attention(q, k, v, Sight(mask=self._mask()), scale).flatten(1)

    def _mask(self) -> Tensor | None:
        """Of the ends' own rows, [U, heads or 1, 1, W]."""
        ends, mask = self.pack.ends, self.sight.mask
        if self.sight.causal:
            read = torch.arange(self.pack.width, device=ends.device) <= ends[:, None]
            return read[:, None, None]
        if mask is None or mask.shape[-2] == 1:
            return mask
        mask = mask.expand(len(ends), -1, -1, -1)
        rows = ends[:, None, None, None].expand(-1, mask.shape[1], 1, mask.shape[-1])
        return mask.gather(2, rows)


def pack_texts(tower: TextTower, ids: Tensor, keys: Tensor) -> Pack:
    """What a tower must compute of some texts.

    Args:
        tower: whose attention decides what may be shared.
        ids: [B, L] padded ids.
        keys: [B, L] the same, but for placeholders: equal keys, equal input.
    """
    ends = tower.ends(ids)
    if tower.causal:
        return share_beginnings(keys, ends)
    if tower.config.pooling == "appended":
        keys = torch.cat([keys, torch.zeros_like(keys[:, :1])], dim=1)
    seen = tower.seen(ids).scatter(1, ends[:, None], True) if tower.reads_one else tower.seen(ids)
    return share_texts(keys, seen, ends)


def encode_pack(
    tower: TextTower, pack: Pack, ids: Tensor, embedded: Tensor, recompute: bool = False
) -> Tensor:
    """[B, embed_dim] embeddings of the texts, unnormalised.

    Args:
        tower: TextTower, with or without LoRA layers in it.
        pack: the texts.
        ids: [B, L] of them.
        embedded: [B, W, width] their embedded tokens, positions not added (`TextTower.embed`).
        recompute: keep no activations inside the blocks and compute them again for the gradient.
    """
    x = embedded.flatten(0, 1).index_select(0, _in_batch(pack))
    x = tower.placed(x, tower.places(ids).index_select(0, pack.places))
    differing = ids.index_select(0, pack.own)
    sight = tower.sight(differing).biased(tower.bias(pack.width), pack.width)
    texts = PackedTexts(pack, sight)
    *blocks, last = tower.transformer.resblocks
    for block in blocks:
        x = _run(block, x, texts, recompute)
    if tower.reads_one:
        ends = _block(last, x, PackedEnds(pack, sight))
        return pack.whole_batch(tower.project(tower.normed(ends)))
    x = tower.normed(_run(last, x, texts, recompute))
    padded = x.index_select(0, pack.unfold).unflatten(0, (len(pack.ends), pack.width))
    return pack.whole_batch(tower.pool(padded, differing))


def _in_batch(pack: Pack) -> Tensor:
    """[N] where each node stands in the padded texts of the whole batch, flat."""
    return pack.own[pack.fold // pack.width] * pack.width + pack.fold % pack.width


def _run(block: Any, x: Tensor, texts: Attend, recompute: bool) -> Tensor:
    if recompute:
        return checkpoint(_block, block, x, texts, use_reentrant=False)
    return _block(block, x, texts)


@FastLinear()
def _block(block: Any, x: Tensor, texts: Attend) -> Tensor:
    return block(x, texts)


def _attention(q: Tensor, k: Tensor, v: Tensor, sight: Sight, scale: float | None) -> Tensor:
    """Attention [U, heads, L, head width]."""
    causal = sight.causal and sight.mask is None
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, sight.mask, is_causal=causal, scale=scale)
    # PyTorch's CPU kernel takes five times as long for bf16's gradients as for fp32's.
    with torch.autocast("cpu", enabled=False):
        fine = torch.promote_types(q.dtype, torch.float32)
        q, k, v = q.to(fine), k.to(fine), v.to(fine)
        return F.scaled_dot_product_attention(q, k, v, sight.mask, is_causal=causal, scale=scale)
