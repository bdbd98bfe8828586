"""Selection: of all towers that were validated, the best is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rtd_adapters.errors import TrainingError
from rtd_adapters.training.parameters import trained_tensors


@dataclass(frozen=True)
class BestTower:
    """The tower that validated best so far."""

    step: int
    metric: str
    value: float
    tensors: dict[str, Tensor]
    """What is trained of it, on the CPU."""


class Selection:
    """Keeps the tower that was best on a validation metric.

    Args:
        tower: that is trained.
        metric: what decides, such as `anchor_recall@1`; None selects nothing.
    """

    def __init__(self, tower: nn.Module, metric: str | None) -> None:
        self._tower, self._metric = tower, metric
        self.best: BestTower | None = None

    def consider(self, step: int, metrics: Mapping[str, float]) -> None:
        """Keep the tower as it stands if it validated better than any before.

        Raises:
            TrainingError: the deciding metric is not among these.
        """
        metric = self._metric
        if metric is None:
            return
        if metric not in metrics:
            known = ", ".join(metrics) or "none: no triplets are held out"
            raise TrainingError(
                f"--select {metric}: no such validation metric (there are: {known})."
            )
        if self.best is None or metrics[metric] > self.best.value:
            self.best = BestTower(step, metric, metrics[metric], self._copied())

    @torch.no_grad()
    def take_best(self) -> int | None:
        """Give the tower its best tensors back; returns their step, or None if none was kept."""
        if self._metric is None or self.best is None:
            return None
        for name, parameter in trained_tensors(self._tower).items():
            parameter.copy_(self.best.tensors[name])
        return self.best.step

    def _copied(self) -> dict[str, Tensor]:
        trained = trained_tensors(self._tower).items()
        return {name: value.detach().cpu().clone() for name, value in trained}
