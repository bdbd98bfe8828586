"""The blocks of text transformers: CLIP's, BERT's and T5's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rtd_adapters.clip.text.activations import ACTIVATIONS
from rtd_adapters.clip.text.attention import Attend, Attention, UnscaledAttention
from rtd_adapters.clip.text.config import TowerConfig


class MLP(nn.Module):
    """Two linear layers with the tower's activation between them."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.width, config.mlp_width)
        self.activation = ACTIVATIONS[config.activation]()
        self.c_proj = nn.Linear(config.mlp_width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] from [..., width]."""
        return self.c_proj(self.activation(self.c_fc(x)))


class GatedMLP(nn.Module):
    """T5's: the activation of one linear layer times another, then a third; none has a bias."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.width, config.mlp_width, bias=False)
        self.c_gate = nn.Linear(config.width, config.mlp_width, bias=False)
        self.activation = ACTIVATIONS[config.activation]()
        self.c_proj = nn.Linear(config.mlp_width, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] from [..., width]."""
        return self.c_proj(self.activation(self.c_fc(x)) * self.c_gate(x))


class ScaleNorm(nn.Module):
    """T5's norm: by the root mean square, in fp32 or better, with neither mean nor bias."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as `x`."""
        fine = x.to(torch.promote_types(x.dtype, torch.float32))
        scale = torch.rsqrt(fine.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * (x * scale)


class PreNormBlock(nn.Module):
    """CLIP's: each part sees normalised states, and adds to those that are not."""

    norm: type[nn.LayerNorm] | type[ScaleNorm] = nn.LayerNorm
    mlp_kind: type[MLP] | type[GatedMLP] = MLP
    attention = Attention

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.ln_1 = self.norm(config.width, config.eps)
        self.attn = self.attention(config)
        self.ln_2 = self.norm(config.width, config.eps)
        self.mlp = self.mlp_kind(config)

    def forward(self, x: Tensor, attend: Attend) -> Tensor:
        """States [..., width] where `attend` picks them, from all states [..., width]."""
        x = attend.pick(x) + self.attn(self.ln_1(x), attend)
        return x + self.mlp(self.ln_2(x))


class PostNormBlock(PreNormBlock):
    """BERT's: each part's result is added, and the sum is normalised."""

    def forward(self, x: Tensor, attend: Attend) -> Tensor:
        """As `PreNormBlock`."""
        x = self.ln_1(attend.pick(x) + self.attn(x, attend))
        return self.ln_2(x + self.mlp(x))


class T5Block(PreNormBlock):
    """T5's encoder's: a pre-norm block of scale norms, without biases, its scores not scaled."""

    norm = ScaleNorm
    mlp_kind = GatedMLP
    attention = UnscaledAttention


BLOCKS: dict[str, type[PreNormBlock]] = {
    "pre-norm": PreNormBlock,
    "post-norm": PostNormBlock,
    "t5": T5Block,
}
