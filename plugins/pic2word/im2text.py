"""IM2TEXT, the mapping network of Pic2Word."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

MIDDLE_DIM = 512
BLOCKS = 2
DROPOUT = 0.1


class Im2Text(nn.Module):
    """Blocks of a linear layer, dropout and ReLU, then one more linear layer.

    Args:
        embed_dim: width of the joint image-text space, the input.
        text_width: width of the text tower's token embeddings, the output.
        middle_dim: width between the layers; 512 in the published checkpoint.
        blocks: how many blocks; 2 in the published checkpoint.
    """

    def __init__(
        self, embed_dim: int, text_width: int, middle_dim: int = MIDDLE_DIM, blocks: int = BLOCKS
    ) -> None:
        super().__init__()
        widths = [embed_dim, *[middle_dim] * blocks]
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(wide, middle_dim), nn.Dropout(DROPOUT), nn.ReLU())
                for wide in widths[:-1]
            )
        )
        self.fc_out = nn.Linear(widths[-1], text_width)

    def forward(self, embedding: Tensor) -> Tensor:
        """[B, text_width] pseudo tokens from unnormalised embeddings [B, embed_dim]."""
        return self.fc_out(self.layers(embedding))

    @classmethod
    def sized_like(cls, tensors: Mapping[str, Tensor], embed_dim: int, text_width: int) -> Im2Text:
        """A fresh one whose width between the layers and number of blocks (`--middle_dim` and
        `--n-layer` of main.py) are those of a checkpoint's tensors."""
        blocks = sum(name.endswith(".0.weight") for name in tensors) or BLOCKS
        first = tensors.get("layers.0.0.weight")
        middle_dim = MIDDLE_DIM if first is None else len(first)
        return cls(embed_dim, text_width, middle_dim, blocks)
