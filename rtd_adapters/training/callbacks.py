"""What a run tells while it goes, and to whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from rtd_adapters.training.record import TrainingRecord
from rtd_adapters.training.settings import Course

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class RunView:
    """A run, as a callback sees it."""

    model: nn.Module
    """What is trained, on the run's device. To be read: a run that a callback changes is not the
    one that its seed gives."""
    settings: Course
    folder: Path | None
    """Where checkpoints go."""
    first_step: int
    """Steps done before."""
    resumed: bool
    """Whether an earlier run is gone on with."""
    quiet: bool
    """Whether nothing is to be shown."""
    is_main: bool
    """Whether this is the first of several processes. Each has its own callbacks."""
    title: str
    """What it is, for a progress bar."""


class Callback:
    """Is told what happens in a run. Subclass it, and pass objects as `RunOptions.callbacks`.

    The progress bar, the trackers, metrics.jsonl and the choice of the best tower are such, and are
    told first. What a callback raises ends the run, which can be gone on with from its last
    checkpoint.
    """

    def begin(self, run: RunView) -> None:
        """The run begins, or is gone on with."""

    def validating(self, step: int) -> None:
        """Figures are about to be taken after a step."""

    def validation(self, step: int, figures: Metrics) -> None:
        """Figures were taken after a step, before `step` tells of it."""

    def step(self, step: int, metrics: Metrics) -> None:
        """A step is done and its loss known, which is when the next is under way.

        Args:
            step: counted from 1.
            metrics: `loss`, `learning_rate`, and the figures where they were taken.
        """

    def save(self, step: int, folder: Path) -> None:
        """A checkpoint was written into a folder, whole."""

    def end(self, record: TrainingRecord) -> None:
        """The last step is done; the model is what the run gives."""

    def close(self) -> None:
        """The run is over, however it ended. Told to those that were told it begins."""
