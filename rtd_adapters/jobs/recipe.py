"""What a run does where its user does not say: its backbone's recipe, or else the published one."""

from __future__ import annotations

from typing import Any

from rtd_adapters.jobs.provided import provisions
from rtd_adapters.training import TrainingSettings

CHECKPOINTS = 20
"""Of a run, from its first step to its last."""


def recipe_settings(backbone: str, kind: str, **chosen: Any) -> TrainingSettings:
    """The hyperparameters of a run.

    Args:
        backbone: one that brings a recipe of its own is followed.
        kind: of the patch, on which that recipe depends.
        chosen: fields of `TrainingSettings` that the user set.

    Raises:
        UsageError: a value is out of its range, or two contradict each other.
    """
    brought = provisions(backbone)
    recipe = brought.recipe(kind) if brought else {}
    return TrainingSettings(**{**recipe, **chosen})


def checkpoint_interval(settings: TrainingSettings) -> int:
    """Steps between two checkpoints."""
    return max(1, settings.steps // CHECKPOINTS)
