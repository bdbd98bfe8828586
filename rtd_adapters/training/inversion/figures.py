"""Figures of a projection on what was held out from it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from rtd_adapters.clip.ranks import target_ranks
from rtd_adapters.methods.inversion import LessonBatch
from rtd_adapters.training.fast_engine import parts_of
from rtd_adapters.training.inversion.engine import Apparatus, embed_rows
from rtd_adapters.training.inversion.lessons import Lessons

RANKS = (1, 5)
CHUNK = 128


@torch.no_grad()
def inversion_figures(
    apparatus: Apparatus, held_out: Lessons, seen: Tensor, batch: LessonBatch
) -> dict[str, float]:
    """What a projection makes of held-out captions or pictures, without noise.

    Args:
        apparatus: whose projection is judged.
        held_out: what figures are taken on.
        seen, batch: of these, as `frozen_batch` gives them.

    Returns:
        `inversion_recall@1` and `@5`, in per cent: does the prompt with the pseudo token find its
        own target (the caption or picture itself) among all held-out ones? `inversion_cosine`, the
        mean cosine of the two.
    """
    projection = apparatus.projection
    was_training = projection.training
    projection.eval()
    composition = apparatus.training.compose(apparatus.method, projection, seen, held_out.prompts)
    parts = parts_of(slice(0, len(held_out)), CHUNK)
    made = torch.cat([embed_rows(apparatus, composition, rows) for rows in parts])
    projection.train(was_training)
    cosines = normalize(made, dim=-1) @ normalize(batch.targets, dim=-1).T
    ranks = target_ranks(cosines, torch.arange(len(made), device=made.device))
    figures = {f"inversion_recall@{k}": 100 * (ranks < k).float().mean().item() for k in RANKS}
    return figures | {"inversion_cosine": cosines.diagonal().mean().item()}
