"""How many held-out things figures are taken on, so that they stay cheap beside the run."""

from __future__ import annotations

from dataclasses import dataclass

from rtd_adapters.training.options import RunOptions
from rtd_adapters.training.settings import Course

SHARE = 0.05
"""Of a run's work, for its figures."""
ENDS = 2
"""Figures that are taken before and after, whatever `validate_every` says."""


@dataclass(frozen=True)
class Work:
    """What a text tower does for one triplet, caption or picture, in passes of a text.

    A backward pass counts as two more. It is counted and not timed, so that a run takes its figures
    on the same things wherever it runs.
    """

    trained: int
    """In a training step."""
    once: int
    """By the frozen tower, when figures are taken for the first time."""
    each: int
    """Whenever figures are taken."""


def judged(
    course: Course, options: RunOptions, work: Work, held_out: int, share: float = SHARE
) -> int:
    """How many of the things held out figures are taken on.

    Args:
        course: settings of the run.
        options: of the run; `validate_on` decides where it is given.
        work: per thing.
        held_out: things there are.
        share: of the run's work, at most, as long as that does for one thing.
    """
    if options.validate_on is not None:
        return min(options.validate_on, held_out)
    every = options.validate_every
    times = ENDS + (course.steps // every if every else 0)
    run = work.trained * course.steps * course.batch_size * course.gradient_accumulation
    return min(held_out, max(1, int(share * run / (work.once + times * work.each))))
