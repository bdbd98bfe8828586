"""`rtd patch --dry-run`: what a run would do and cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from rtd_adapters.jobs.cost import PLANNED_STEPS, Cost
from rtd_adapters.jobs.inputs import PatchJob, check_request, load_inputs, require_free_outputs
from rtd_adapters.jobs.patch import new_patch
from rtd_adapters.jobs.say import Say, silent
from rtd_adapters.training import RunOptions
from rtd_adapters.training.frozen_precision import AnchorError


@dataclass(frozen=True)
class Plan:
    """What a run would do and cost, from loading everything and training a few steps."""

    job: PatchJob
    trained: int
    """Parameters that would be trained."""
    triplets: int
    cost: Cost
    anchor_error: AnchorError | None = None
    """Where the frozen tower would not compute in fp32."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for --json."""
        return {
            "method": self.job.method,
            "backbone": self.job.backbone,
            "kind": self.job.kind,
            "recipe": self.job.recipe,
            "trained_parameters": self.trained,
            "triplets": self.triplets,
            **self.cost.to_dict(self.job.settings),
            "anchor_error": self.anchor_error and asdict(self.anchor_error),
            "out": str(self.job.out),
        }

    def rows(self) -> list[tuple[str, str]]:
        """Name and value of each line to print."""
        return [
            ("method", self.job.method),
            ("backbone", self.job.backbone),
            ("kind", f"{self.job.kind}, {self.trained:,} trained parameters"),
            ("triplets", f"{self.triplets:,}"),
            ("recipe", self.job.recipe),
            *self.cost.rows(self.job.settings),
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
    trained = sum(p.numel() for p in patch.student.parameters() if p.requires_grad)
    return Plan(job, trained, len(inputs.triplets), Cost.of(record), record.anchor_error)
