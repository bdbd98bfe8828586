"""Attention, and what each token of a text looks at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtd_adapters.clip.text.config import TowerConfig

MAX_DISTANCE = 128
"""From which on T5 tells distances apart no more."""


@dataclass(frozen=True)
class Sight:
    """What each token looks at."""

    causal: bool = False
    """At itself and those before it."""
    mask: Tensor | None = None
    """Besides: true where a token may look, or what is added to its scores; broadcastable to
    [B, heads, L, L]. Where it is given, it says everything."""

    def biased(self, bias: Tensor | None, length: int) -> Sight:
        """The same with something added to the scores, [1, heads, L, L]."""
        if bias is None:
            return self
        seen = self.mask
        if self.causal:
            seen = torch.ones(length, length, dtype=torch.bool, device=bias.device).tril()
        return Sight(mask=bias if seen is None else bias.masked_fill(~seen, -math.inf))


class Attend(Protocol):
    """How the states of some texts look at each other, wherever they are kept."""

    def pick(self, states: Tensor) -> Tensor:
        """The states that a block is read at."""

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, heads: int, scale: float | None) -> Tensor:
        """What the picked states see: a row of values for each row of `q`."""


@dataclass(frozen=True)
class PaddedTexts:
    """Texts [B, L, width], each row one text, read everywhere: an `Attend`."""

    sight: Sight

    def pick(self, states: Tensor) -> Tensor:
        """All of them."""
        return states

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, heads: int, scale: float | None) -> Tensor:
        """[B, L, heads * head width] of the same."""
        q, k, v = (rows.unflatten(-1, (heads, -1)).transpose(-2, -3) for rows in (q, k, v))
        causal = self.sight.causal and self.sight.mask is None
        seen = F.scaled_dot_product_attention(
            q, k, v, attn_mask=self.sight.mask, is_causal=causal, scale=scale
        )
        return seen.transpose(-2, -3).flatten(-2)


class Attention(nn.Module):
    """Multi-head self-attention."""

    bias = True
    scale: float | None = None
    """Of the scores; one over the root of a head's width where it is None."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        inner = config.heads * config.head_width
        self.q_proj = nn.Linear(config.width, inner, self.bias)
        self.k_proj = nn.Linear(config.width, inner, self.bias)
        self.v_proj = nn.Linear(config.width, inner, self.bias)
        self.out_proj = nn.Linear(inner, config.width, self.bias)

    def forward(self, x: Tensor, attend: Attend) -> Tensor:
        """[..., width] at the picked states, from all states [..., width]."""
        q, k, v = self.q_proj(attend.pick(x)), self.k_proj(x), self.v_proj(x)
        return self.out_proj(attend(q, k, v, self.heads, self.scale))


class UnscaledAttention(Attention):
    """T5's: without biases, its scores not scaled."""

    bias = False
    scale = 1.0


def distance_buckets(length: int, buckets: int, device: torch.device) -> Tensor:
    """[L, L] the bucket of each pair of places in T5's encoder, from a token to what it looks at.

    Half of the buckets are for what comes after. Of each half, half are for one distance each, and
    the rest grow by a constant factor up to `MAX_DISTANCE` (Raffel et al. 2020, section 2.1).
    """
    places = torch.arange(length, device=device)
    distance = places[None, :] - places[:, None]
    half = buckets // 2
    exact = half // 2
    far = distance.abs().clamp_min(1).float()
    growth = torch.log(far / exact) / math.log(MAX_DISTANCE / exact) * (half - exact)
    spaced = (exact + growth.long()).clamp_max(half - 1)
    near = distance.abs() < exact
    return torch.where(near, distance.abs(), spaced) + half * (distance > 0).long()
