"""`rtd patch --dry-run`: what a run would do and cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from rtd_adapters.jobs.inputs import PatchJob, check_request, load_inputs, require_free_outputs
from rtd_adapters.jobs.memory import device_peak_mb
from rtd_adapters.jobs.patch import new_patch
from rtd_adapters.jobs.say import Say, silent
from rtd_adapters.training import RunOptions
from rtd_adapters.training.frozen_precision import AnchorError

PLANNED_STEPS = 3
"""Of a dry run. The first is slower than the rest, and memory is at its height in the second."""


@dataclass(frozen=True)
class Plan:
    """What a run would do and cost, from loading everything and training a few steps."""

    job: PatchJob
    trained: int
    """Parameters that would be trained."""
    triplets: int
    loss: float
    """Of the first step."""
    step_seconds: float
    peak_megabytes: float
    """Largest memory of the process so far, or of the GPU where one is used."""
    anchor_error: AnchorError | None = None
    """Where the frozen tower would not compute in fp32."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for --json."""
        settings = self.job.settings
        return {
            "method": self.job.method,
            "backbone": self.job.backbone,
            "kind": self.job.kind,
            "recipe": self.job.recipe,
            "trained_parameters": self.trained,
            "triplets": self.triplets,
            "loss": self.loss,
            "settings": settings.to_dict(),
            "seconds_per_step": self.step_seconds,
            "seconds": self.step_seconds * settings.steps,
            "peak_megabytes": self.peak_megabytes,
            "anchor_error": self.anchor_error and asdict(self.anchor_error),
            "out": str(self.job.out),
        }

    def rows(self) -> list[tuple[str, str]]:
        """Name and value of each line to print."""
        settings = self.job.settings
        minutes = self.step_seconds * settings.steps / 60
        return [
            ("method", self.job.method),
            ("backbone", self.job.backbone),
            ("kind", f"{self.job.kind}, {self.trained:,} trained parameters"),
            ("triplets", f"{self.triplets:,}"),
            ("recipe", self.job.recipe),
            (
                "training",
                f"{settings.steps} steps of {settings.batch_size}, lr {settings.learning_rate:g}",
            ),
            ("first loss", f"{self.loss:.3f}"),
            ("time", f"about {minutes:.1f} minutes ({self.step_seconds:.2f} s a step)"),
            ("memory", f"{self.peak_megabytes:,.0f} MB at most"),
            *([("anchors", str(self.anchor_error))] if self.anchor_error else []),
            ("would write", str(self.job.out)),
        ]


def plan_patch(job: PatchJob, say: Say = silent) -> Plan:
    """Load and check everything, train a few steps, write nothing.

    Raises:
        RtdError: as `run_patch`.
    """
    check_request(job)
    require_free_outputs(job)
    inputs = load_inputs(job, say)
    patch = new_patch(job, inputs)
    inputs.backbone.drop_images()
    few = replace(job, settings=replace(job.settings, steps=PLANNED_STEPS))
    record = patch.fit(inputs.trainer(few, RunOptions(device=job.options.device, quiet=True)))
    seconds = min(record.step_seconds[1:])
    trained = sum(p.numel() for p in patch.student.parameters() if p.requires_grad)
    return Plan(
        job,
        trained,
        len(inputs.triplets),
        record.losses[0],
        seconds,
        device_peak_mb(),
        record.anchor_error,
    )
