"""How sure a difference is: a paired bootstrap over queries."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

RESAMPLES = 2_000
COVERED = 0.95
AT_A_TIME = 100


def interval(differences: Sequence[Tensor], seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of a mean difference.

    Args:
        differences: for each part of a benchmark, [queries] values of patched minus base. Queries
            are drawn anew within a part, and parts are averaged, as the metric itself is.
        seed: of the drawing.
    """
    generator = torch.Generator().manual_seed(seed)
    means = torch.zeros(RESAMPLES, dtype=torch.float64)
    for part in differences:
        means += _resampled_means(part.double(), generator) / len(differences)
    edge = (1 - COVERED) / 2
    low, high = torch.quantile(means, torch.tensor([edge, 1 - edge], dtype=torch.float64)).tolist()
    return low, high


def _resampled_means(values: Tensor, generator: torch.Generator) -> Tensor:
    chunks = []
    for _ in range(RESAMPLES // AT_A_TIME):
        drawn = torch.randint(len(values), (AT_A_TIME, len(values)), generator=generator)
        chunks.append(values[drawn].mean(1))
    return torch.cat(chunks)
