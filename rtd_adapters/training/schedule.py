"""The learning rate of each step."""

from __future__ import annotations

import math

from rtd_adapters.training.settings import Course


def learning_rate(settings: Course, step: int) -> float:
    """The learning rate of a step counted from 0: linear warm-up, then constant or cosine."""
    peak = settings.learning_rate
    if step < settings.warmup_steps:
        return peak * (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return peak
    share = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return peak * 0.5 * (1 + math.cos(math.pi * share))
