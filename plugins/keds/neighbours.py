"""An embedding's neighbours in a bank of embeddings, by exact search."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rtd_adapters import UsageError

NEIGHBOURS = 16
ROWS = 1 << 16
"""Of a bank that are compared at a time, whose scores for 512 embeddings take 134 MB."""


@torch.no_grad()
def nearest(embedding: Tensor, bank: Tensor) -> Tensor:
    """[B, 16, embed_dim]: the rows of a bank nearest to each embedding's direction, nearest first.

    Distances are Euclidean, from the embedding at length 1 to the rows as they are, as faiss's flat
    index takes them in suoych/KEDs (`get_retrieved_features`).

    Args:
        embedding: [B, embed_dim], of any length.
        bank: [N, embed_dim].

    Raises:
        UsageError: the bank is empty: none was given.
    """
    if not len(bank):
        raise UsageError(
            "keds looks up pictures like the reference, and has no bank of pictures. Pass "
            "--method-option image_bank=FILE, to rtd projection convert if that made the "
            "projection; to train, --stand-in captions does without."
        )
    # Half precision, in which a run may compute, confuses neighbours.
    with torch.autocast(embedding.device.type, enabled=False):
        unit = F.normalize(embedding.to(bank.dtype), dim=-1)
        found = [_best(unit, bank[start : start + ROWS]) for start in range(0, len(bank), ROWS)]
    closeness = torch.cat([scores for scores, _ in found], dim=1)
    places = torch.cat([rows + part * ROWS for part, (_, rows) in enumerate(found)], dim=1)
    return bank[places.gather(1, closeness.topk(NEIGHBOURS, dim=1).indices)]


def _best(unit: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Scores and places [B, 16] of the rows nearest to unit vectors, fewer where there are fewer.

    A score is 1 minus the squared distance.
    """
    closeness = 2 * unit @ rows.T - torch.linalg.vector_norm(rows, dim=-1).square()
    best = closeness.topk(min(NEIGHBOURS, len(rows)), dim=1)
    return best.values, best.indices
