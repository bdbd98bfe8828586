"""The projection of Context-I2W: a picture seen through its text."""

from __future__ import annotations

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LATENTS = 4
DEPTH = 6
HEAD_WIDTH = 64
MIDDLE_DIM = 512
DROPOUT = 0.1


class LatentAttention(nn.Module):
    """Latents look at patches and at themselves; no bias anywhere."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        inner = heads * HEAD_WIDTH
        self.heads = heads
        self.norm_media = nn.LayerNorm(width)
        self.norm_latents = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_kv = nn.Linear(width, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)

    def forward(self, patches: Tensor, latents: Tensor) -> Tensor:
        """[B, latents, width] from patches [B, P, width] and latents [B, latents, width]."""
        latents = self.norm_latents(latents)
        keys, values = self.to_kv(torch.cat([self.norm_media(patches), latents], 1)).chunk(2, -1)
        q, k, v = (
            part.unflatten(-1, (self.heads, HEAD_WIDTH)).transpose(1, 2)
            for part in (self.to_q(latents), keys, values)
        )
        return self.to_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Extractor(nn.Module):
    """Learned latents that gather what patches show."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(LATENTS, width))
        self.layers = nn.ModuleList(
            nn.ModuleList([LatentAttention(width, heads), _feed_forward(width)])
            for _ in range(DEPTH)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, patches: Tensor) -> Tensor:
        """[B, width], the mean latent, from patches [B, P, width]; P may be 0."""
        latents = self.latents.expand(len(patches), -1, -1)
        for layer in self.layers:
            attention, feed_forward = layer.children()
            latents = attention(patches, latents) + latents
            latents = feed_forward(latents) + latents
        return self.norm(latents).mean(1)


class ContextRotator(nn.Module):
    """IM2TEXT_OWM_Attn: states are turned by the context, then read as a whole and by patches.

    Tensors are named as in Pter61/context-i2w (src/model/model.py). Only the directions of context
    and states matter: a LayerNorm follows both.

    Args:
        embed_dim: width of the joint image-text space and of the context.
        text_width: width of the text tower's token embeddings, the output.
        image_width: width of the image tower's states.
        heads: of the latents' attention, each 64 wide; 8 in the published checkpoint.
    """

    def __init__(self, embed_dim: int, text_width: int, image_width: int, heads: int = 8) -> None:
        super().__init__()
        self.to_c = nn.Linear(embed_dim, image_width, bias=False)
        self.W_R = _weight_normed(nn.Linear(image_width, image_width, bias=False))
        self.ln_post = nn.LayerNorm(image_width)
        self.ln_post_local = nn.LayerNorm(image_width)
        self.proj = nn.Parameter(image_width**-0.5 * torch.randn(image_width, embed_dim))
        self.proj_local = nn.Parameter(image_width**-0.5 * torch.randn(image_width, embed_dim))
        self.VT_Extractor = Extractor(image_width, heads)
        self.layers, self.fc_out = _mlp(embed_dim), nn.Linear(MIDDLE_DIM, text_width)
        self.layers_local, self.fc_out_local = _mlp(embed_dim), nn.Linear(MIDDLE_DIM, text_width)
        self.local_gate = nn.Parameter(torch.zeros(1))

    def forward(self, context: Tensor, states: Tensor) -> Tensor:
        """[B, text_width] pseudo tokens.

        Args:
            context: [B, embed_dim] embedding of the query's text, unnormalised.
            states: [B, 1 + patches, image_width], the whole picture's first.
        """
        turned = self.W_R(states) * self.to_c(context)[:, None]
        whole = self.ln_post(turned[:, 0]) @ self.proj
        local = self.ln_post_local(self.VT_Extractor(turned[:, 1:])) @ self.proj_local
        return self.fc_out(self.layers(whole)) + self.local_gate.tanh() * self.fc_out_local(
            self.layers_local(local)
        )


def _feed_forward(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, 4 * width, bias=False),
        nn.GELU(),
        nn.Linear(4 * width, width, bias=False),
    )


def _mlp(embed_dim: int) -> nn.Sequential:
    return nn.Sequential(
        *(
            nn.Sequential(nn.Linear(width, MIDDLE_DIM), nn.Dropout(DROPOUT), nn.ReLU())
            for width in (embed_dim, MIDDLE_DIM)
        )
    )


def _weight_normed(layer: nn.Linear) -> nn.Linear:
    with warnings.catch_warnings():
        # The old form, because the checkpoint's keys are its: weight_g and weight_v.
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(layer)
