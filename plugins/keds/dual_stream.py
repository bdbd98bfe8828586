"""The projection of KEDs: two streams of one form, and the banks where both find neighbours."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..pic2word.im2text import Im2Text
from .neighbours import NEIGHBOURS, nearest

LAYERS = 3
HEADS, HEAD_WIDTH = 8, 64
FRESH_ROWS = 2 * NEIGHBOURS
BANKS = ("image_bank", "text_bank")


class CrossAttention(nn.Module):
    """One token looks at neighbours; heads are 64 wide, whatever the token's width."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        inner = heads * HEAD_WIDTH
        self.heads = heads
        self.to_q = nn.Linear(width, inner)
        self.to_k = nn.Linear(width, inner)
        self.to_v = nn.Linear(width, inner)
        self.to_out = nn.Sequential(nn.Linear(inner, width))

    def forward(self, token: Tensor, neighbours: Tensor) -> Tensor:
        """[B, 1, width] from a token [B, 1, width] and neighbours [B, N, width]."""
        q, k, v = (
            part.unflatten(-1, (self.heads, HEAD_WIDTH)).transpose(1, 2)
            for part in (self.to_q(token), self.to_k(neighbours), self.to_v(neighbours))
        )
        return self.to_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class CrossFormer(nn.Module):
    """Three such looks, one after the other, with nothing between or beside them."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.cross_layers = nn.ModuleList(CrossAttention(width, heads) for _ in range(LAYERS))

    def forward(self, token: Tensor, neighbours: Tensor) -> Tensor:
        """[B, 1, width] from a token [B, 1, width] and neighbours [B, N, width]."""
        for layer in self.cross_layers:
            token = layer(token, neighbours)
        return token


class Stream(nn.Module):
    """Pic2Word's mapping network, and what its token sees among pictures and among captions."""

    def __init__(self, img2text: Im2Text, width: int, heads: int) -> None:
        super().__init__()
        self.img2text = img2text
        self.retrieval_fuse = CrossFormer(width, heads)
        self.text_condition = CrossFormer(width, heads)

    def forward(self, embedding: Tensor, pictures: Tensor, captions: Tensor) -> Tensor:
        """[B, 3, width]: the token fused with pictures, conditioned on captions, and alone.

        Args:
            embedding: [B, embed_dim], unnormalised.
            pictures: [B, 16, embed_dim] of the bank of pictures, as they lie there.
            captions: [B, 16, embed_dim] of the bank of captions.
        """
        token = self.img2text(embedding)[:, None]
        fused = self.retrieval_fuse(token, self.img2text(pictures))
        conditioned = self.text_condition(token, self.img2text(captions))
        return torch.cat([fused, conditioned, token], dim=1)


class DualStream(nn.Module):
    """Both streams and both banks. Tensors of a stream are named as in its checkpoint, with the
    module's name in front (suoych/KEDs, src/main.py).

    Args:
        embed_dim: width of the joint image-text space.
        text_width: width of the text tower's token embeddings.
        heads: of every cross-attention. The repository has 8 whatever the width, and so has every
            CLIP of width 512 or more here; a miniature has as many as are as wide as it is.
        streams: mapping networks of the stream trained on pictures and the one trained on captions.
        rows: of the bank of pictures and of captions; all zeros.
    """

    image_bank: Tensor
    text_bank: Tensor

    def __init__(
        self,
        embed_dim: int,
        text_width: int,
        heads: int | None = None,
        streams: tuple[Im2Text, Im2Text] | None = None,
        rows: tuple[int, int] = (FRESH_ROWS, FRESH_ROWS),
    ) -> None:
        super().__init__()
        heads = heads or min(HEADS, max(1, text_width // HEAD_WIDTH))
        first, second = streams or (Im2Text(embed_dim, text_width), Im2Text(embed_dim, text_width))
        self.image_stream = Stream(first, text_width, heads)
        self.text_stream = Stream(second, text_width, heads)
        for name, count in zip(BANKS, rows, strict=True):
            self.register_buffer(name, torch.zeros(count, embed_dim))

    @classmethod
    def sized_like(
        cls, tensors: Mapping[str, Tensor], embed_dim: int, text_width: int
    ) -> DualStream:
        """A fresh one with the sizes that a file may choose: those of the mapping networks, the
        number of heads, the rows of the banks."""
        first, second = (
            Im2Text.sized_like(
                {
                    name.removeprefix(prefix): tensor
                    for name, tensor in tensors.items()
                    if name.startswith(prefix)
                },
                embed_dim,
                text_width,
            )
            for prefix in ("image_stream.img2text.", "text_stream.img2text.")
        )
        query = tensors.get("image_stream.retrieval_fuse.cross_layers.0.to_q.weight")
        heads = None if query is None else max(1, len(query) // HEAD_WIDTH)
        rows = tuple(len(tensors[name]) if name in tensors else 0 for name in BANKS)
        return cls(embed_dim, text_width, heads, (first, second), (rows[0], rows[1]))

    def with_random_banks(self) -> DualStream:
        """The same with banks of random unit vectors."""
        for name in BANKS:
            bank = self.get_buffer(name)
            bank.copy_(F.normalize(torch.randn(bank.shape), dim=-1))
        return self

    def forward(self, embedding: Tensor, image_bank: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [B, 3, text_width] of the stream trained on pictures and of the one trained on
        captions.

        Args:
            embedding: [B, embed_dim], unnormalised.
            image_bank: [N, embed_dim], where pictures like it are looked up: `self.image_bank`, or
                what stands in for it.
        """
        pictures, captions = nearest(embedding, image_bank), nearest(embedding, self.text_bank)
        return (
            self.image_stream(embedding, pictures, captions),
            self.text_stream(embedding, pictures, captions),
        )
