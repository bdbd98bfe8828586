"""What a training would take, from a few of its steps: the part of a dry run that all share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rtd_adapters.jobs.memory import device_peak_mb
from rtd_adapters.training import TrainingRecord
from rtd_adapters.training.settings import Course

PLANNED_STEPS = 3
"""Of a dry run. The first is slower than the rest, and memory is at its height in the second."""


@dataclass(frozen=True)
class Cost:
    """Measured on `PLANNED_STEPS` steps."""

    loss: float
    """Of the first step."""
    step_seconds: float
    peak_megabytes: float
    """Largest memory of the process so far, or of the GPU where one is used."""

    @classmethod
    def of(cls, record: TrainingRecord) -> Cost:
        """Of the run that has just ended."""
        return cls(record.losses[0], min(record.step_seconds[1:]), device_peak_mb())

    def to_dict(self, settings: Course) -> dict[str, Any]:
        """Plain values for --json."""
        return {
            "loss": self.loss,
            "settings": settings.to_dict(),
            "seconds_per_step": self.step_seconds,
            "seconds": self.step_seconds * settings.steps,
            "peak_megabytes": self.peak_megabytes,
        }

    def rows(self, settings: Course) -> list[tuple[str, str]]:
        """Name and value of each line to print."""
        minutes = self.step_seconds * settings.steps / 60
        return [
            (
                "training",
                f"{settings.steps} steps of {settings.batch_size}, lr {settings.learning_rate:g}",
            ),
            ("first loss", f"{self.loss:.3f}"),
            ("time", f"about {minutes:.1f} minutes ({self.step_seconds:.2f} s a step)"),
            ("memory", f"{self.peak_megabytes:,.0f} MB at most"),
        ]
