"""Retrieval metrics: ranks on score matrices, and one query's figures from its ranking."""

from __future__ import annotations

from collections.abc import Sequence

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
    stable descending sort would have it.
    """
    wanted = scores.gather(1, targets[:, None])
    place = torch.arange(scores.shape[1], device=scores.device)
    ahead = (scores > wanted) | ((scores == wanted) & (place < targets[:, None]))
    if excluded is not None:
        ahead &= place != excluded[:, None]
    return ahead.sum(1)


def recall_at(ranks: Tensor, cutoffs: Sequence[int]) -> dict[int, float]:
    """Per cent of queries whose target is among the first k, for each k."""
    return {k: 100 * (ranks < k).double().mean().item() for k in cutoffs}


def recalls(name: str, hits: Sequence[bool], cutoffs: Sequence[int]) -> dict[str, float]:
    """`name@K` -> whether a right answer is among the first K, as 0 or 1."""
    return {f"{name}@{k}": float(any(hits[:k])) for k in cutoffs}


def average_precision(hits: Sequence[bool], answers: int, cutoff: int) -> float:
    """Sum of the precisions at the right answers among the first K, over how many could be there.

    Args:
        hits: whether each ranked item is a right answer, best first.
        answers: how many right answers there are.
        cutoff: K; the sum is divided by min(answers, K), as CIRCO does (Baldrati et al. 2023).
    """
    right, total = 0, 0.0
    for place, hit in enumerate(hits[:cutoff], start=1):
        right += hit
        total += hit * right / place
    return total / min(answers, cutoff) if answers else 0.0
