"""CLIP's text transformer in plain parts: Linears for q, k, v and out, SDPA, any length of text."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtd_adapters.clip.text.activations import ACTIVATIONS
from rtd_adapters.clip.text.config import TowerConfig
from rtd_adapters.errors import BackboneError, TripletError


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.q_proj = nn.Linear(config.width, config.width)
        self.k_proj = nn.Linear(config.width, config.width)
        self.v_proj = nn.Linear(config.width, config.width)
        self.out_proj = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """[B, L, width] from [B, L, width].

        Args:
            x: the states, already normalised.
            mask: boolean (true where a query row may look) or additive, broadcastable to
                [B, heads, L, L]; causal attention where it is None.
        """
        q, k, v = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(-2, -3)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        return self.out_proj(seen.transpose(-2, -3).flatten(-2))


class MLP(nn.Module):
    """Two linear layers with CLIP's activation between them."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.width, config.mlp_width)
        self.activation = ACTIVATIONS[config.activation]()
        self.c_proj = nn.Linear(config.mlp_width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] from [..., width]."""
        return self.c_proj(self.activation(self.c_fc(x)))


class Block(nn.Module):
    """A pre-norm residual block."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.width)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.width)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """[B, L, width] from [B, L, width]; `mask` as in `Attention`."""
        x = x + self.attn(self.ln_1(x), mask)
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """The stack of blocks."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Block(config) for _ in range(config.layers))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """[B, L, width] from [B, L, width]; `mask` as in `Attention`."""
        for block in self.resblocks:
            x = block(x, mask)
        return x


class TextTower(nn.Module):
    """A CLIP text tower: token ids, with or without pseudo tokens, to joint-space embeddings.

    Tensors are named as in OpenAI's CLIP, but for q, k and v, which are apart. It equals OpenAI's,
    open_clip's and transformers' own forward to 1e-5 in fp32
    (tests/clip/text/test_towers_agree.py).
    """

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.positional_embedding = nn.Parameter(torch.empty(config.context_length, config.width))
        self.transformer = Transformer(config)
        self.ln_final = nn.LayerNorm(config.width)
        self.text_projection = nn.Parameter(torch.empty(config.width, config.embed_dim))
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        nn.init.normal_(self.text_projection, std=config.width**-0.5)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.positional_embedding.device

    @property
    def causal(self) -> bool:
        """Whether a token's state depends on nothing behind it, as in every CLIP text tower."""
        return True

    def forward(
        self, ids: Tensor, pseudo_tokens: Tensor | None = None, placeholder_id: int | None = None
    ) -> Tensor:
        """[B, embed_dim] embeddings, not normalised.

        Args:
            ids: [B, L] token ids, L <= context_length, padded with anything below EOT (0 is
                CLIP's). Cutting the padding after the longest text changes nothing.
            pseudo_tokens: [B, width] or [B, K, width]; a row with n <= K placeholders takes its
                first n, in order.
            placeholder_id: the token they replace.

        Raises:
            BackboneError: sizes do not fit the tower, or the placeholder is not below EOT.
            TripletError: a row has no placeholder, or more than K.
        """
        return self.pool(self.states(ids, pseudo_tokens, placeholder_id), ids)

    def states(
        self, ids: Tensor, pseudo_tokens: Tensor | None = None, placeholder_id: int | None = None
    ) -> Tensor:
        """[B, L, width] token states after the last LayerNorm; arguments as in `forward`."""
        length = ids.shape[-1]
        if length > self.config.context_length:
            raise BackboneError(
                f"The texts have {length} tokens; this tower reads {self.config.context_length}. "
                "Tokenize with the tower's context length."
            )
        places = torch.arange(length, device=ids.device)
        x = self.embed(ids, pseudo_tokens, placeholder_id) + self.positions(places)
        return self.ln_final(self.transformer(x))

    def positions(self, places: Tensor) -> Tensor:
        """[N, width] position embeddings of N places in a text, counted from 0."""
        return self.positional_embedding.index_select(0, places)

    def embed(
        self, ids: Tensor, pseudo_tokens: Tensor | None = None, placeholder_id: int | None = None
    ) -> Tensor:
        """[B, L, width] token embeddings with pseudo tokens in place, positions not yet added."""
        embedded = self.token_embedding(ids)
        if pseudo_tokens is None:
            return embedded
        if placeholder_id is None:
            raise BackboneError("Pseudo tokens need the id of the placeholder they replace.")
        if pseudo_tokens.dim() == 2:
            pseudo_tokens = pseudo_tokens.unsqueeze(1)
        self._require_fit(ids, pseudo_tokens)
        places = ids == placeholder_id
        _require_placeholders(ids, places.sum(dim=-1), pseudo_tokens.shape[1], placeholder_id)
        rows, columns = places.nonzero(as_tuple=True)
        turns = places.cumsum(dim=-1)[rows, columns] - 1
        return embedded.index_put((rows, columns), pseudo_tokens[rows, turns].to(embedded.dtype))

    def pool(self, states: Tensor, ids: Tensor) -> Tensor:
        """[B, embed_dim] from the state at each row's end."""
        rows = torch.arange(len(ids), device=ids.device)
        return self.project(states[rows, self.ends(ids)])

    def ends(self, ids: Tensor) -> Tensor:
        """[B] place of the token that is read for the whole text: EOT, the first largest id."""
        return ids.argmax(dim=-1)

    def trimmed(self, ids: Tensor) -> Tensor:
        """The ids without the padding behind the longest text, which a causal tower never sees."""
        return ids[:, : int(self.ends(ids).max()) + 1] if self.causal and len(ids) else ids

    def project(self, states: Tensor) -> Tensor:
        """[..., embed_dim], the joint space, from states [..., width] after the last LayerNorm."""
        return states @ self.text_projection

    def _require_fit(self, ids: Tensor, pseudo_tokens: Tensor) -> None:
        rows, width = pseudo_tokens.shape[0], pseudo_tokens.shape[-1]
        if pseudo_tokens.dim() != 3 or rows != len(ids) or width != self.config.width:
            raise BackboneError(
                f"Pseudo tokens are {list(pseudo_tokens.shape)}; {len(ids)} texts and a tower of "
                f"width {self.config.width} need [{len(ids)}, K, {self.config.width}]. "
                "Use a projection that was made for this backbone."
            )


def _require_placeholders(ids: Tensor, counts: Tensor, most: int, placeholder_id: int) -> None:
    # Pooling takes the largest id for EOT, so a placeholder above EOT would be taken for it.
    above_eot = ids.amax(dim=-1) <= placeholder_id
    wrong = (counts < 1) | (counts > most)
    if not (above_eot | wrong).any():
        return
    row = int((above_eot | wrong).nonzero()[0])
    if wrong[row]:
        raise TripletError(
            f"Text {row} of the batch has {int(counts[row])} placeholders (token {placeholder_id}) "
            f"and {most} pseudo token(s). It must have 1 to {most}: check the prompt, and put "
            "spaces round the placeholder."
        )
    raise BackboneError(
        f"The placeholder's id {placeholder_id} is not below EOT ({int(ids[row].max())} is the "
        "largest id of the text), so pooling would read it instead. Use a token below EOT."
    )
