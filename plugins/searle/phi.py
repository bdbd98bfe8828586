"""Phi, the textual inversion network of SEARLE and LinCIR."""

from __future__ import annotations

from torch import Tensor, nn

DROPOUT = 0.5


class Phi(nn.Module):
    """Three linear layers with GELU and dropout between them.

    Args:
        embed_dim: width of the joint image-text space, the input.
        hidden_dim: width of both hidden layers; 4 x embed_dim in the published checkpoints.
        text_width: width of the text tower's token embeddings, the output.
    """

    def __init__(self, embed_dim: int, hidden_dim: int, text_width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(embed_dim, hidden_dim),
            nn.GELU(),
            nn.Dropout(DROPOUT),
            nn.Linear(hidden_dim, hidden_dim),
            nn.GELU(),
            nn.Dropout(DROPOUT),
            nn.Linear(hidden_dim, text_width),
        )

    def forward(self, embedding: Tensor) -> Tensor:
        """[B, text_width] pseudo tokens from unnormalised embeddings [B, embed_dim]."""
        return self.layers(embedding)
