"""Every query's values as a benchmark averages them: within a part, then over parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from rtd_adapters.evaluation.bootstrap import interval, p_value

Values = Mapping[str, Sequence[float]]
"""Metric -> its value between 0 and 1 of each query, part after part; no metrics where a server
keeps the answers."""
Scores = Mapping[str, Sequence[Tensor]]
"""Metric -> for each part that it averages, [queries] values."""


def scores(values: Values, parts: Sequence[str]) -> dict[str, list[Tensor]]:
    """Values by part; where there are several parts, each has metrics of its own besides.

    Args:
        values: of all queries.
        parts: the part of each query, in the same order.
    """
    names = list(dict.fromkeys(parts))
    whole = {}
    for metric, column in values.items():
        found: dict[str, list[float]] = {name: [] for name in names}
        for value, name in zip(column, parts, strict=True):
            found[name].append(value)
        whole[metric] = [torch.tensor(part) for part in found.values()]
    if len(names) == 1:
        return whole
    own = {
        f"{name} {metric}": [whole[metric][place]]
        for place, name in enumerate(names)
        for metric in whole
    }
    return {**own, **{f"average {metric}": columns for metric, columns in whole.items()}}


def figures(found: Scores) -> dict[str, float]:
    """Metric -> per cent."""
    return {name: 100 * mean(parts) for name, parts in found.items()}


def intervals(found: Scores, base: Scores | None = None) -> dict[str, tuple[float, float]]:
    """Metric -> 95 % interval of the figure in per cent, or of its difference from another's."""
    ends = {name: interval(parts) for name, parts in _differences(found, base).items()}
    return {name: (100 * low, 100 * high) for name, (low, high) in ends.items()}


def p_values(found: Scores, base: Scores) -> dict[str, float]:
    """Metric -> p-value of its difference from another's."""
    return {name: p_value(parts) for name, parts in _differences(found, base).items()}


def _differences(found: Scores, base: Scores | None) -> Scores:
    if base is None:
        return found
    return {name: less(parts, base[name]) for name, parts in found.items()}


def mean(parts: Sequence[Tensor]) -> float:
    """Averaged within parts, [queries] values each, then over parts."""
    return sum(part.double().mean().item() for part in parts) / len(parts)


def less(new: Sequence[Tensor], old: Sequence[Tensor]) -> list[Tensor]:
    """`new` minus `old`, query by query."""
    return [after - before for after, before in zip(new, old, strict=True)]
