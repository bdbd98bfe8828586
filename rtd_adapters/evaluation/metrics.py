"""Retrieval metrics, of ranks and of one query's ranking."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def recall_at(ranks: Tensor, cutoffs: Sequence[int]) -> dict[int, float]:
    """Per cent of queries whose target is among the first k, for each k."""
    return {k: 100 * (ranks < k).double().mean().item() for k in cutoffs}


def recalls(name: str, hits: Sequence[bool], cutoffs: Sequence[int]) -> dict[str, float]:
    """`name@K` -> whether a right answer is among the first K, as 0 or 1."""
    return {f"{name}@{k}": float(any(hits[:k])) for k in cutoffs}


def trapezoid_average_precision(ranks: Sequence[int]) -> float:
    """Area under the precision-recall curve, by trapezoids between right answers; 0 without any.

    Args:
        ranks: of all right answers, 1 for the top, the best first.

    Each right answer adds a step of the recall, times the mean of the precisions just before it and
    at it. Before the very first place the precision is 1. As Radenovic et al. 2018 have it.
    """
    area = 0.0
    for found, rank in enumerate(ranks):
        before = found / (rank - 1) if rank > 1 else 1.0
        area += (before + (found + 1) / rank) / 2
    return area / len(ranks) if ranks else 0.0


def whole_average_precision(ranks: Sequence[int]) -> float:
    """Mean of the precisions at all right answers of a whole ranking; 0 without any.

    Args:
        ranks: of all right answers, 1 for the top, the best first.
    """
    precisions = [found / rank for found, rank in enumerate(ranks, start=1)]
    return sum(precisions) / len(precisions) if precisions else 0.0


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
