"""What a run did."""

from __future__ import annotations

from dataclasses import dataclass, field

from rtd_adapters.training.frozen_precision import AnchorError


@dataclass
class TrainingRecord:
    """What a run did."""

    steps: int
    losses: list[float] = field(default_factory=list)
    """Loss of every step this process ran, the resumed part only."""
    step_seconds: list[float] = field(default_factory=list)
    """Wall time of every such step."""
    validations: list[dict[str, float]] = field(default_factory=list)
    """The step and the metrics of each validation."""
    selected_step: int | None = None
    """The step whose tower was kept, where a validation metric chose."""
    anchor_error: AnchorError | None = None
    """Of a sample, where the frozen tower did not compute in fp32."""
    texts_cut: int = 0
    """Texts that were longer than the context length and were cut."""
    texts_cleaned: int = 0
    """Texts that held a placeholder or special token, which was removed."""
