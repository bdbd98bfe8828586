"""`rtd projection train --dry-run`: what a run would do and cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from rtd_adapters.jobs.cost import PLANNED_STEPS, Cost
from rtd_adapters.jobs.projection.inputs import (
    ProjectionJob,
    check_request,
    load_inputs,
    require_free_outputs,
)
from rtd_adapters.jobs.say import Say, silent
from rtd_adapters.training import RunOptions


@dataclass(frozen=True)
class ProjectionPlan:
    """What a run would do and cost, from loading everything and training a few steps."""

    job: ProjectionJob
    trained: int
    """Parameters that would be trained."""
    learns_from: str
    things: int
    """Captions or pictures."""
    cost: Cost

    def to_dict(self) -> dict[str, Any]:
        """Plain values for --json."""
        return {
            "method": self.job.method,
            "backbone": self.job.backbone,
            "trained_parameters": self.trained,
            self.learns_from: self.things,
            **self.cost.to_dict(self.job.settings),
            "out": str(self.job.out),
        }

    def rows(self) -> list[tuple[str, str]]:
        """Name and value of each line to print."""
        return [
            ("method", f"{self.job.method}, {self.trained:,} trained parameters"),
            ("backbone", self.job.backbone),
            (self.learns_from, f"{self.things:,}"),
            *self.cost.rows(self.job.settings),
            ("would write", str(self.job.out)),
        ]


def plan_projection(job: ProjectionJob, say: Say = silent) -> ProjectionPlan:
    """Load and check everything, train a few steps, write nothing.

    Raises:
        RtdError: as `train_projection`.
    """
    check_request(job)
    require_free_outputs(job)
    inputs = load_inputs(job, say)
    few = replace(job, settings=replace(job.settings, steps=PLANNED_STEPS))
    trainer = inputs.trainer(few, RunOptions(device=job.options.device, quiet=True))
    projection = trainer.fresh()
    run = trainer.train(projection, inputs.identity())
    trained = sum(parameter.numel() for parameter in projection.parameters())
    learns_from = inputs.training.learns_from
    return ProjectionPlan(job, trained, learns_from, run.things, Cost.of(run.record))
