"""What a run does where its user does not say: a recipe, over its backbone's own settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rtd_adapters.errors import UsageError
from rtd_adapters.jobs.provided import provisions
from rtd_adapters.patch.metadata import PAPER
from rtd_adapters.training import TrainingSettings

CHECKPOINT_MINUTES = 5.0
"""Between checkpoints, where nobody says otherwise: what a kill costs at most."""


@dataclass(frozen=True)
class Recipe:
    """A change of the settings that a backbone is trained with as published."""

    times: Mapping[str, int] = field(default_factory=dict)
    """Fields of `TrainingSettings` that are multiplied."""
    sets: Mapping[str, Any] = field(default_factory=dict)
    """Fields that take a value whatever the backbone."""

    def over(self, settings: TrainingSettings) -> TrainingSettings:
        """The settings, changed."""
        larger = {name: factor * getattr(settings, name) for name, factor in self.times.items()}
        return replace(settings, **larger, **self.sets)


RECIPES: dict[str, Recipe] = {
    PAPER: Recipe(),
    "balanced": Recipe(
        times={"steps": 2, "batch_size": 4},
        sets={"keep_alignment": True, "schedule": "cosine"},
    ),
}
"""By name. The published run has one setting for every backbone, and so has ours: that a size of
backbone wants another was never measured."""


def recipe_settings(
    backbone: str, kind: str = "full", recipe: str = PAPER, **chosen: Any
) -> TrainingSettings:
    """The hyperparameters of a run.

    Args:
        backbone: one that brings settings of its own starts from them, any other from the
            published ones.
        kind: of the patch, on which a backbone's own settings depend.
        recipe: `paper`, as published, or `balanced`, ours, which keeps more of text-to-image
            recall.
        chosen: fields of `TrainingSettings` that the user set; they win.

    Raises:
        UsageError: there is no such recipe, a value is out of its range, or two contradict each
            other.
    """
    if recipe not in RECIPES:
        raise UsageError(f"Unknown recipe {recipe!r}. Use one of {', '.join(RECIPES)}.")
    brought = provisions(backbone)
    own = TrainingSettings(**(brought.recipe(kind) if brought else {}))
    return replace(RECIPES[recipe].over(own), **chosen)


def checkpoint_options(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `RunOptions` with checkpoints by time, unless something was chosen of them.

    Args:
        chosen: fields that the user set.
    """
    by_time = {"checkpoint_minutes": CHECKPOINT_MINUTES}
    return {**({} if "checkpoint_every" in chosen else by_time), **chosen}
