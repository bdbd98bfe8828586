"""TextTower: CLIP's text transformer, with pseudo tokens at the placeholders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtd_adapters.errors import BackboneError

Activation = Callable[[Tensor], Tensor]


def quick_gelu(x: Tensor) -> Tensor:
    """OpenAI CLIP's activation."""
    return x * torch.sigmoid(1.702 * x)


def gelu_tanh(x: Tensor) -> Tensor:
    """The tanh approximation of GELU."""
    return F.gelu(x, approximate="tanh")


ACTIVATIONS: dict[str, Activation] = {
    "quick_gelu": quick_gelu,
    "gelu": F.gelu,
    "gelu_tanh": gelu_tanh,
}


@dataclass(frozen=True)
class TowerConfig:
    """Sizes and activation of a CLIP text tower."""

    width: int
    layers: int
    heads: int
    embed_dim: int
    activation: str
    mlp_width: int
    vocab_size: int = 49408
    context_length: int = 77

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise BackboneError(f"Unknown activation {self.activation!r}; the tower knows {known}.")
        if self.width % self.heads:
            raise BackboneError(f"width {self.width} does not divide into {self.heads} heads.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in a patch's metadata."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TowerConfig:
        """Read `to_dict` back."""
        return cls(**values)


class Attention(nn.Module):
    """Multi-head self-attention with one plain Linear each for q, k, v and out."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Causal attention over [B, L, width]."""
        q, k, v = (self.split(linear(x)) for linear in (self.q_proj, self.k_proj, self.v_proj))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))

    def split(self, x: Tensor) -> Tensor:
        """[B, L, width] to [B, heads, L, width / heads]."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Mlp(nn.Module):
    """Two Linears with the backbone's activation between them."""

    def __init__(self, width: int, hidden: int, activation: str) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, hidden)
        self.c_proj = nn.Linear(hidden, width)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] to [..., width]."""
        return self.c_proj(self.activation(self.c_fc(x)))


class Block(nn.Module):
    """A pre-norm residual block."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.width)
        self.attn = Attention(config.width, config.heads)
        self.ln_2 = nn.LayerNorm(config.width)
        self.mlp = Mlp(config.width, config.mlp_width, config.activation)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, width] to [B, L, width]."""
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """The stack of blocks."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Block(config) for _ in range(config.layers))

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, width] to [B, L, width]."""
        for block in self.resblocks:
            x = block(x)
        return x


class TextTower(nn.Module):
    """CLIP's text transformer under OpenAI's tensor names, but with q, k and v apart.

    Equals open_clip, OpenAI clip and transformers to 1e-5 in fp32 (tests/text/test_tower.py).
    """

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.positional_embedding = nn.Parameter(torch.zeros(config.context_length, config.width))
        self.transformer = Transformer(config)
        self.ln_final = nn.LayerNorm(config.width)
        self.text_projection = nn.Parameter(torch.zeros(config.width, config.embed_dim))

    def forward(
        self, ids: Tensor, pseudo_tokens: Tensor | None = None, placeholder_id: int | None = None
    ) -> Tensor:
        """[B, embed_dim] text embeddings, not normalised.

        Args:
            ids: [B, L] token ids, L up to the context length, padded behind the end of text.
            pseudo_tokens: [B, width] or [B, K, width]; replace the placeholders' embeddings in
                order of appearance.
            placeholder_id: the id they replace.

        Raises:
            BackboneError: L is too long, or a row has no placeholder or more than K.
        """
        states = self.states(ids, pseudo_tokens, placeholder_id)
        return states[torch.arange(len(ids), device=ids.device), end_of_text(ids)] @ (
            self.text_projection
        )

    def states(
        self, ids: Tensor, pseudo_tokens: Tensor | None = None, placeholder_id: int | None = None
    ) -> Tensor:
        """[B, L, width] states after the last LayerNorm; arguments and errors as `forward`."""
        length = ids.shape[1]
        if length > self.config.context_length:
            raise BackboneError(
                f"{length} tokens do not fit the context of {self.config.context_length}."
            )
        x = self.embed(ids, pseudo_tokens, placeholder_id) + self.positional_embedding[:length]
        return self.ln_final(self.transformer(x))

    def embed(
        self, ids: Tensor, pseudo_tokens: Tensor | None = None, placeholder_id: int | None = None
    ) -> Tensor:
        """[B, L, width] token embeddings with the pseudo tokens in place, positions not added."""
        embedded = self.token_embedding(ids)
        if pseudo_tokens is None:
            return embedded
        if placeholder_id is None:
            raise BackboneError("pseudo tokens need the placeholder_id they replace.")
        return splice(embedded, ids, pseudo_tokens, placeholder_id)


def splice(embedded: Tensor, ids: Tensor, pseudo_tokens: Tensor, placeholder_id: int) -> Tensor:
    """Put pseudo tokens [B, K, width] at the placeholders of `embedded` [B, L, width].

    A row with n placeholders, 1 <= n <= K, takes its first n pseudo tokens in order.

    Raises:
        BackboneError: a row has no placeholder or more than K.
    """
    if pseudo_tokens.ndim == 2:
        pseudo_tokens = pseudo_tokens.unsqueeze(1)
    holes = ids == placeholder_id
    count = holes.sum(1)
    if bool((count < 1).any()) or bool((count > pseudo_tokens.shape[1]).any()):
        row = int(((count < 1) | (count > pseudo_tokens.shape[1])).nonzero()[0])
        raise BackboneError(
            f"prompt {row} of the batch has {int(count[row])} placeholders (id {placeholder_id}) "
            f"for {pseudo_tokens.shape[1]} pseudo tokens."
        )
    # Which pseudo token belongs to each position; positions without a placeholder read token 0
    # and are masked out, so the gradient reaches only what is used.
    order = (holes.cumsum(1) - 1).clamp(0)
    chosen = pseudo_tokens.gather(1, order.unsqueeze(-1).expand(-1, -1, embedded.shape[-1]))
    return torch.where(holes.unsqueeze(-1), chosen.to(embedded.dtype), embedded)


def end_of_text(ids: Tensor) -> Tensor:
    """[B] position of each row's end of text: the first occurrence of its largest id (OpenAI)."""
    return ids.argmax(dim=-1)
