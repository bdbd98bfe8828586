"""Ranks on score matrices, and the one rule for ties."""

from __future__ import annotations

import torch
from torch import Tensor


def target_ranks(scores: Tensor, targets: Tensor, excluded: Tensor | None = None) -> Tensor:
    """How many gallery items score above each query's target; 0 is the best rank.

    Args:
        scores: [Q, N] similarity of each query to each gallery item.
        targets: [Q] index of the target.
        excluded: [Q] index of an item that is taken out of the ranking, such as the reference
            image; the target itself is never taken out.

    An item that ties with the target counts against it when it stands earlier in the gallery, as a
    stable descending sort would have it. NaN counts against the target on either side.
    """
    wanted = scores.gather(1, targets[:, None])
    place = torch.arange(scores.shape[1], device=scores.device)
    behind = (scores < wanted) | ((scores == wanted) & (place > targets[:, None]))
    ahead = ~behind & (place != targets[:, None])
    if excluded is not None:
        ahead &= place != excluded[:, None]
    return ahead.sum(1)
