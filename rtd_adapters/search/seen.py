"""Pictures as an image tower saw them: what composed queries start from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rtd_adapters.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

NEARLY = 1e-3
"""How near to 1 the norms of units are, which a store may have rounded."""


@dataclass(frozen=True)
class Seen:
    """B pictures as an image tower saw them."""

    embedding: Tensor
    """[B, embed_dim], not normalised: projections read length too."""
    states: Tensor | None = None
    """[B, 1 + patches, image width], for methods that read them; None for all others."""

    @classmethod
    def of(cls, embeddings: ArrayLike | Tensor) -> Seen:
        """Embeddings [B, embed_dim] that were kept as `CompositionEncoder.see` gave them.

        Raises:
            UsageError: they are no such matrix.
        """
        if isinstance(embeddings, Tensor):
            rows = embeddings.detach().float()
        else:
            rows = torch.tensor(np.asarray(embeddings, dtype=np.float32))
        if rows.dim() != 2:
            raise UsageError(
                f"embeddings of pictures are {list(rows.shape)}; they must be [B, embed_dim]. Put "
                "a single one into a list."
            )
        return cls(rows)

    def __len__(self) -> int:
        return len(self.embedding)

    def part(self, rows: slice) -> Seen:
        """Some of the pictures."""
        return Seen(self.embedding[rows], None if self.states is None else self.states[rows])

    @property
    def units(self) -> bool:
        """Whether all embeddings have length 1."""
        norms = self.embedding.norm(dim=-1)
        return len(norms) > 0 and bool((norms - 1).abs().max() < NEARLY)
