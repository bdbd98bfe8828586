"""Selection: of all towers that were validated, the best is kept."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rtd_adapters.errors import TrainingError
from rtd_adapters.training.callbacks import Callback, Metrics
from rtd_adapters.training.parameters import trained_tensors
from rtd_adapters.training.record import TrainingRecord


@dataclass(frozen=True)
class BestTower:
    """The tower that validated best so far."""

    step: int
    metric: str
    value: float
    tensors: dict[str, Tensor]
    """What is trained of it, on the CPU."""


class Selection(Callback):
    """Keeps the tower that was best on a validation metric.

    Args:
        tower: that is trained.
        metric: what decides, such as `anchor_recall@1`; None selects nothing.
    """

    def __init__(self, tower: nn.Module, metric: str | None) -> None:
        self._tower, self._metric = tower, metric
        self.best: BestTower | None = None

    def validation(self, step: int, figures: Metrics) -> None:
        """Keep the tower as it stands if it validated better than any before.

        Raises:
            TrainingError: the deciding metric is not among these.
        """
        metric = self._metric
        if metric is None:
            return
        if metric not in figures:
            known = ", ".join(figures) or "none: no triplets are held out"
            raise TrainingError(
                f"--select {metric}: no such validation metric (there are: {known})."
            )
        if self.best is None or figures[metric] > self.best.value:
            self.best = BestTower(step, metric, figures[metric], self._copied())

    def end(self, record: TrainingRecord) -> None:
        """Give the tower its best tensors back, and note their step."""
        record.selected_step = self.take_best()

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
