"""Text towers in plain parts, driven by a description: Linears for q, k, v and out, SDPA."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rtd_adapters.clip.text.attention import PaddedTexts, Sight, distance_buckets
from rtd_adapters.clip.text.blocks import BLOCKS, ScaleNorm
from rtd_adapters.clip.text.config import TowerConfig
from rtd_adapters.clip.text.placeholders import (
    fill_placeholders,
    require_below_eot,
    require_counts,
)
from rtd_adapters.clip.text.projection import build_projection, project
from rtd_adapters.clip.text.tokenizer import Tokenizer
from rtd_adapters.clip.text.vocabulary import CLIP_BPE, Vocabulary
from rtd_adapters.errors import BackboneError

BUCKETS = 32
"""Of T5's distances."""
FIRST_TABLE = 20
"""Places that Long-CLIP takes from its first position table, which CLIP's own training fixed."""


class Transformer(nn.Module):
    """The stack of blocks."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        block = BLOCKS[config.block]
        self.resblocks = nn.ModuleList(block(config) for _ in range(config.layers))

    def forward(self, x: Tensor, sight: Sight) -> Tensor:
        """[B, L, width] from [B, L, width]."""
        texts = PaddedTexts(sight)
        for block in self.resblocks:
            x = block(x, texts)
        return x


class TextTower(nn.Module):
    """A text tower: token ids, with or without pseudo tokens, to joint-space embeddings.

    Its tensors are named as in OpenAI's CLIP, but for q, k and v, which are apart, and for what
    CLIP has not. It equals the forward of the library that a tower comes from to 1e-5 in fp32
    (tests/clip/text/test_towers_agree.py, tests/towers).

    Args:
        config: its build.
        vocabulary: what its ids mean.
    """

    positional_embedding: Tensor
    positional_embedding_res: Tensor
    ln_final: Callable[[Tensor], Tensor]

    def __init__(self, config: TowerConfig, vocabulary: Vocabulary = CLIP_BPE) -> None:
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self._build_positions()
        if config.token_types:
            self.token_type_embedding = nn.Embedding(config.token_types, config.width)
        if config.embedding_norm:
            self.ln_embed = nn.LayerNorm(config.width, config.eps)
        if config.pooling == "appended":
            self.cls_emb = nn.Parameter(torch.empty(config.width).normal_(std=0.01))
        self.transformer = Transformer(config)
        if config.block != "post-norm":
            norm = ScaleNorm if config.block == "t5" else nn.LayerNorm
            self.ln_final = norm(config.width, config.eps)
        self.text_projection = build_projection(config)
        nn.init.normal_(self.token_embedding.weight, std=0.02)

    def _build_positions(self) -> None:
        config = self.config
        if config.positions == "relative":
            self.relative_attention_bias = nn.Embedding(BUCKETS, config.heads)
            return
        names = ["positional_embedding"]
        if config.positions == "stretched":
            names.append("positional_embedding_res")
        for name in names:
            table = torch.empty(config.position_rows, config.width).normal_(std=0.01)
            self.register_parameter(name, nn.Parameter(table))

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.token_embedding.weight.device

    @property
    def causal(self) -> bool:
        """Whether a token's state depends on nothing behind it."""
        return self.config.mask == "causal"

    @property
    def reads_one(self) -> bool:
        """Whether one token's state is read for the whole text."""
        return self.config.pooling != "mean"

    def tokenizer(
        self, placeholder: str | None = None, added_token: str | None = None
    ) -> Tokenizer:
        """What makes its ids, with a placeholder or without; see `Tokenizer`."""
        return Tokenizer(self.config.context_length, placeholder, added_token, self.vocabulary)

    def forward(
        self, ids: Tensor, pseudo_tokens: Tensor | None = None, placeholder_id: int | None = None
    ) -> Tensor:
        """[B, embed_dim] embeddings, not normalised.

        Args:
            ids: [B, L] token ids as the tower's tokenizer gives them, L <= context_length. Padding
                behind the longest text may be cut, except for a tower that looks at it
                (`trimmed`).
            pseudo_tokens: [B, width] or [B, K, width]; a row with n <= K placeholders takes its
                first n, in order.
            placeholder_id: the token they replace.

        Raises:
            BackboneError: sizes do not fit the tower, the end of a text is missing, or the
                placeholder would be taken for it.
            TripletError: a row has no placeholder, or more than K.
        """
        return self.pool(self.states(ids, pseudo_tokens, placeholder_id), ids)

    def states(
        self, ids: Tensor, pseudo_tokens: Tensor | None = None, placeholder_id: int | None = None
    ) -> Tensor:
        """[B, L, width] token states after the last norm, with that of an appended token at the
        end where there is one; arguments as in `forward`."""
        self._require_length(ids.shape[-1])
        self.require_placeholders(ids, pseudo_tokens, placeholder_id)
        embedded = self.embed(ids, pseudo_tokens, placeholder_id)
        x = self.placed(embedded, self.places(ids))
        length = x.shape[1]
        return self.normed(self.transformer(x, self.sight(ids).biased(self.bias(length), length)))

    def embed(
        self, ids: Tensor, pseudo_tokens: Tensor | None = None, placeholder_id: int | None = None
    ) -> Tensor:
        """[B, L, width] token embeddings with pseudo tokens in place, positions not yet added; an
        appended token stands behind them. Placeholders are not counted (`require_placeholders`)."""
        embedded = self.token_embedding(ids)
        if pseudo_tokens is not None:
            embedded = fill_placeholders(embedded, ids, pseudo_tokens, placeholder_id)
        if self.config.pooling != "appended":
            return embedded
        return torch.cat([embedded, self.cls_emb.expand(ids.shape[0], 1, -1)], dim=1)

    def require_placeholders(
        self, ids: Tensor, pseudo_tokens: Tensor | None, placeholder_id: int | None
    ) -> None:
        """Check that texts [B, L] have placeholders for their pseudo tokens, which will not be
        read as the end of a text; arguments as in `forward`.

        Raises:
            BackboneError: a placeholder would be taken for the end.
            TripletError: a row has no placeholder, or more than K.
        """
        if pseudo_tokens is None:
            return
        if self.config.pooling == "argmax":
            require_below_eot(ids, placeholder_id)
        require_counts(ids, pseudo_tokens, placeholder_id)

    def places(self, ids: Tensor) -> Tensor:
        """[L] place of each token in its text, counted from 0; an appended one has the last of
        all."""
        places = torch.arange(ids.shape[-1], device=ids.device)
        if self.config.pooling != "appended":
            return places
        return torch.cat([places, places.new_tensor([self.config.context_length])])

    def placed(self, embedded: Tensor, places: Tensor) -> Tensor:
        """[..., N, width] what the first block sees, of embeddings at places [N]."""
        x = embedded
        if self.config.positions != "relative":
            x = x + self.positions(places)
        if self.config.token_types:
            x = x + self.token_type_embedding.weight[0]
        return self.ln_embed(x) if self.config.embedding_norm else x

    def positions(self, places: Tensor) -> Tensor:
        """[N, width] position embeddings of N places in a text, counted from 0."""
        rows = places + self.config.first_position
        first = self.positional_embedding.index_select(0, rows)
        if self.config.positions != "stretched":
            return first
        stretched = self.positional_embedding_res.index_select(0, rows)
        return torch.where((places < FIRST_TABLE)[:, None], first, stretched)

    def bias(self, length: int) -> Tensor | None:
        """[1, heads, L, L] what is added to scores by distance, where anything is."""
        if self.config.positions != "relative":
            return None
        buckets = distance_buckets(length, BUCKETS, self.device)
        return self.relative_attention_bias(buckets).permute(2, 0, 1)[None]

    def sight(self, ids: Tensor) -> Sight:
        """What each token of padded texts [B, L] looks at."""
        if self.config.mask == "causal":
            return Sight(causal=True)
        if self.config.mask == "none":
            return Sight()
        seen = self.seen(ids)[:, None, None]
        if self.config.mask == "padding":
            return Sight(mask=seen)
        places = torch.arange(seen.shape[-1], device=ids.device)
        return Sight(mask=seen & (places <= places[:, None]))

    def seen(self, ids: Tensor) -> Tensor:
        """[B, L] which tokens are looked at by anything that is read, the appended one included."""
        if self.config.mask == "none":
            return torch.ones_like(ids, dtype=torch.bool)
        if self.config.mask == "causal":
            places = torch.arange(ids.shape[-1], device=ids.device)
            return places <= self.ends(ids)[:, None]
        words = ids.ne(self._pad)
        if self.config.mask == "padding":
            return words
        # CoCa's mask lags one place: of each text the first token of padding is looked at, and the
        # appended token at itself only where there is no padding.
        return torch.cat([torch.ones_like(words[:, :1]), words], dim=1)

    def normed(self, states: Tensor) -> Tensor:
        """[..., width] states of the last block, normalised where the tower does so."""
        return states if self.config.block == "post-norm" else self.ln_final(states)

    def pool(self, states: Tensor, ids: Tensor) -> Tensor:
        """[B, embed_dim] from normed states [B, L, width]."""
        if self.config.pooling == "mean":
            words = ids.ne(self._pad).unsqueeze(-1).to(states.dtype)
            return self.project((states * words).sum(dim=1) / words.sum(dim=1))
        rows = torch.arange(ids.shape[0], device=ids.device)
        return self.project(states[rows, self.ends(ids)])

    def ends(self, ids: Tensor) -> Tensor:
        """[B] place of the token that is read for the whole text; the last one's for a mean.

        Raises:
            BackboneError: a text has no end.
        """
        match self.config.pooling:
            case "argmax":
                return ids.argmax(dim=-1)
            case "eos":
                return self._first_end(ids)
            case "first":
                return torch.zeros_like(ids[:, 0])
            case "appended":
                return torch.full_like(ids[:, 0], ids.shape[-1])
            case _:
                return torch.full_like(ids[:, 0], ids.shape[-1] - 1)

    def trimmed(self, ids: Tensor) -> Tensor:
        """The ids without the padding behind the longest text, where nothing looks at it."""
        if self.config.fixed_length or not len(ids):
            return ids
        used = self.seen(ids).any(dim=0).nonzero()
        return ids[:, : int(used.max()) + 1]

    def project(self, states: Tensor) -> Tensor:
        """[..., embed_dim], the joint space, from states [..., width] after the last norm."""
        return project(self.text_projection, states)

    @property
    def _pad(self) -> int:
        """Id of padding, which a tower that looks for it has."""
        return self.config.pad_id or 0

    def _first_end(self, ids: Tensor) -> Tensor:
        ends = ids.eq(self.config.eos_id or 0)
        # A program that torch.export makes of this cannot look.
        if not torch.compiler.is_compiling() and not ends.any(dim=-1).all():
            raise BackboneError(
                f"a text has no end of text (token {self.config.eos_id}), where this tower reads "
                "it. Tokenize with the tower's own tokenizer."
            )
        return ends.int().argmax(dim=-1)

    def _require_length(self, length: int) -> None:
        most = self.config.context_length
        if length > most:
            raise BackboneError(
                f"The texts have {length} tokens; this tower reads {most}. "
                "Tokenize with the tower's context length."
            )
        if self.config.fixed_length and length < most:
            raise BackboneError(
                f"The texts have {length} tokens; this tower looks at padding and reads exactly "
                f"{most}. Tokenize with the tower's own tokenizer."
            )
