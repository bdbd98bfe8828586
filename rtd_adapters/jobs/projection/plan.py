"""`rtd projection train --dry-run`: what a run would do and cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from rtd_adapters.jobs.memory import device_peak_mb
from rtd_adapters.jobs.plan import PLANNED_STEPS
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
    loss: float
    """Of the first step."""
    step_seconds: float
    peak_megabytes: float
    """Largest memory of the process so far, or of the GPU where one is used."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for --json."""
        settings = self.job.settings
        return {
            "method": self.job.method,
            "backbone": self.job.backbone,
            "trained_parameters": self.trained,
            self.learns_from: self.things,
            "loss": self.loss,
            "settings": settings.to_dict(),
            "seconds_per_step": self.step_seconds,
            "seconds": self.step_seconds * settings.steps,
            "peak_megabytes": self.peak_megabytes,
            "out": str(self.job.out),
        }

    def rows(self) -> list[tuple[str, str]]:
        """Name and value of each line to print."""
        settings = self.job.settings
        minutes = self.step_seconds * settings.steps / 60
        return [
            ("method", f"{self.job.method}, {self.trained:,} trained parameters"),
            ("backbone", self.job.backbone),
            (self.learns_from, f"{self.things:,}"),
            (
                "training",
                f"{settings.steps} steps of {settings.batch_size}, lr {settings.learning_rate:g}",
            ),
            ("first loss", f"{self.loss:.3f}"),
            ("time", f"about {minutes:.1f} minutes ({self.step_seconds:.2f} s a step)"),
            ("memory", f"{self.peak_megabytes:,.0f} MB at most"),
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
    return ProjectionPlan(
        job,
        trained,
        inputs.training.learns_from,
        run.things,
        run.record.losses[0],
        min(run.record.step_seconds[1:]),
        device_peak_mb(),
    )
