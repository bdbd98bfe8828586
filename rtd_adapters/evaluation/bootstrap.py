"""How sure a figure or a difference is: a bootstrap and a permutation test over queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

RESAMPLES = 2_000
FLIPS = 10_000
COVERED = 0.95
AT_A_TIME = 100
ROUNDING = 1e-9
"""Share of the terms by which two sums of them may differ, and yet be the same."""


def interval(differences: Sequence[Tensor], seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of a mean, or of a mean difference.

    Args:
        differences: for each part of a benchmark, [queries] values of one search minus those of
            another; or values themselves, for the interval of a figure. Queries
            are drawn anew within a part, and parts are averaged, as the metric itself is.
        seed: of the drawing.
    """
    generator = torch.Generator().manual_seed(seed)
    means = torch.zeros(RESAMPLES, dtype=torch.float64)
    for part in differences:
        means += _resampled_means(part.double(), generator) / len(differences)
    return _ends(means)


def statistic_interval(
    statistic: Callable[[Tensor], Tensor], count: int, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval of what is no mean, such as the distance of two means.

    Args:
        statistic: takes [R, count] weights of the queries, each row's sum 1, and gives [R] values.
        count: how many queries there are.
        seed: of the drawing.
    """
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(RESAMPLES // AT_A_TIME):
        drawn = torch.randint(count, (AT_A_TIME, count), generator=generator)
        each = torch.full(drawn.shape, 1 / count, dtype=torch.float64)
        weights = torch.zeros(AT_A_TIME, count, dtype=torch.float64).scatter_add_(1, drawn, each)
        found.append(statistic(weights))
    return _ends(torch.cat(found))


def _ends(values: Tensor) -> tuple[float, float]:
    edge = (1 - COVERED) / 2
    ends = torch.tensor([edge, 1 - edge], dtype=torch.float64)
    low, high = torch.quantile(values.double(), ends).tolist()
    return low, high


def p_value(differences: Sequence[Tensor], seed: int = 0) -> float:
    """Two-sided p-value of a mean difference: a paired permutation test over queries.

    Were both searches alike, the sign of each difference would be chance. So signs are drawn
    10,000 times, and it is counted how often the mean is as far from 0 as the one that was found,
    which counts itself, so that no p-value is 0 (Phipson and Smyth 2010).

    Args:
        differences: as in `interval`; parts are averaged, as the metric itself is.
        seed: of the drawing.
    """
    shares = [part.double() / len(part) for part in differences]
    terms = torch.cat([part[part != 0] for part in shares])  # a sign before 0 changes nothing
    generator = torch.Generator().manual_seed(seed)
    found = terms.sum().abs() - ROUNDING * terms.abs().sum()
    as_far = 1
    for _ in range(FLIPS // AT_A_TIME):
        signs = 2 * torch.randint(2, (AT_A_TIME, len(terms)), generator=generator) - 1
        as_far += int(((signs.double() @ terms).abs() >= found).sum())
    return as_far / (FLIPS + 1)


def _resampled_means(values: Tensor, generator: torch.Generator) -> Tensor:
    chunks = []
    for _ in range(RESAMPLES // AT_A_TIME):
        drawn = torch.randint(len(values), (AT_A_TIME, len(values)), generator=generator)
        chunks.append(values[drawn].mean(1))
    return torch.cat(chunks)
