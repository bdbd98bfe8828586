"""What a training run is told: the published recipe, and the built-in world's own."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Protocol

from rtd_adapters.errors import UsageError, require_number

Concatenation = Literal["refined", "text"]
Schedule = Literal["constant", "cosine"]
Precision = Literal["no", "fp16", "bf16"]
FrozenPrecision = Literal["fp32", "tf32", "bf16"]
Noise = Literal["absolute", "relative"]
EngineName = Literal["fast", "reference"]

LARGEST_SEED = (1 << 32) - 1
"""That every generator takes."""
BOUNDS: dict[str, dict[str, float]] = {
    "steps": {"least": 0},
    "batch_size": {"least": 1},
    "learning_rate": {"above": 0},
    "weight_decay": {"least": 0},
    "warmup_steps": {"least": 0},
    "beta2": {"least": 0, "below": 1},
    "epsilon": {"above": 0},
    "temperature": {"above": 0},
    "noise_scale": {"least": 0},
    "gradient_accumulation": {"least": 1},
    "max_grad_norm": {"above": 0},
    "chunk_size": {"least": 1},
    "seed": {"least": 0, "most": LARGEST_SEED},
}
"""Of every number, as `require_number` takes them."""
OTHER_NAMES = {"learning_rate": "--lr", "steps": "--max-steps"}
"""Of their options, where that is not the setting's own."""


class Course(Protocol):
    """What the loop reads of any run's settings."""

    @property
    def steps(self) -> int:
        """Optimiser steps."""

    @property
    def batch_size(self) -> int:
        """Things a step, over all processes."""

    @property
    def learning_rate(self) -> float:
        """Peak learning rate."""

    @property
    def warmup_steps(self) -> int:
        """Steps of linear warm-up."""

    @property
    def schedule(self) -> Schedule:
        """Learning rate after the warm-up."""

    @property
    def gradient_accumulation(self) -> int:
        """Batches whose gradients are averaged before each optimiser step."""

    @property
    def max_grad_norm(self) -> float | None:
        """Clip the gradient to this L2 norm; None clips nothing."""

    @property
    def mixed_precision(self) -> Precision:
        """Autocast of the text tower that carries gradient."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""


@dataclass(frozen=True)
class TrainingSettings:
    """Hyperparameters of one run. The defaults are the published run's (RTD, training script).

    Batch 128 is what one process of the official script learns from: its four processes never
    average their gradients, and only the first one's model is kept.
    """

    steps: int = 2000
    """Optimiser steps."""
    batch_size: int = 128
    """Triplets a step, over all processes; refined batch sampling doubles the pairs, not this."""
    learning_rate: float = 1e-5
    """Peak learning rate of AdamW."""
    weight_decay: float = 0.01
    """AdamW's decoupled weight decay."""
    warmup_steps: int = 0
    """Steps of linear warm-up."""
    schedule: Schedule = "constant"
    """Learning rate after the warm-up."""
    temperature: float = 0.07
    """Temperature tau of the objective."""
    noise_scale: float = 0.5
    """Of the refined concatenation; 0 is no noise."""
    noise: Noise = "absolute"
    """The unit of its scale: unnormalised embeddings' own, as published, or each embedding's length
    (`relative`, ours)."""
    refined_batch: bool = True
    """Let (bare prompt, reference caption) pairs ride in the batch."""
    concat: Concatenation = "refined"
    """`refined` puts the pseudo token at the placeholder, `text` the reference caption's words."""
    keep_alignment: bool = False
    """Add plain caption pairs to the batch. An addition of ours, not part of RTD."""
    gradient_accumulation: int = 1
    """Batches whose gradients are averaged before each optimiser step."""
    max_grad_norm: float | None = None
    """Clip the gradient to this L2 norm; none by default."""
    mixed_precision: Precision = "no"
    """Autocast of the trained tower; the objective is computed in fp32 regardless."""
    frozen_precision: FrozenPrecision = "fp32"
    """What the frozen tower computes anchors in. Ours; what it costs them is measured and said."""
    engine: EngineName = "fast"
    """How a step is computed; `reference` is the plain one. They differ in speed and rounding."""
    chunk_size: int | None = None
    """Triplets that a process embeds at a time (gradient caching): bounded memory for any batch
    size, the same gradients, 1.4 times the work or less. By default the whole batch at once."""
    checkpoint_activations: bool = False
    """Compute each block's activations again for its gradient instead of keeping them."""
    local_negatives: bool = False
    """With several processes: each takes negatives from its own rows only, as the official script
    does. By default the loss is that of one process with the whole batch."""
    seed: int = 0
    """Decides initialisation, order of triplets and noise."""

    def __post_init__(self) -> None:
        require_bounds(self)
        for name in ("chunk_size", "checkpoint_activations", "local_negatives"):
            if getattr(self, name) and self.engine == "reference":
                raise UsageError(f"{name} needs the fast engine; the reference step stays plain.")
        if self.frozen_precision != "fp32" and self.engine == "reference":
            raise UsageError("--frozen-precision needs the fast engine; the other stays plain.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in a patch's metadata."""
        return asdict(self)

    def differences(self, other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Settings that differ from stored ones: name -> (stored, here)."""
        mine = self.to_dict()
        return {
            field.name: (other.get(field.name), mine[field.name])
            for field in fields(self)
            if other.get(field.name) != mine[field.name]
        }


def require_bounds(settings: Any) -> None:
    """Refuse settings of which a number is out of its range (`BOUNDS`).

    Args:
        settings: a dataclass with some of the fields that have bounds.

    Raises:
        UsageError: one is; its option and its range are named.
    """
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.name in BOUNDS and value is not None:
            require_number(_option(field.name), value, **BOUNDS[field.name])


def _option(name: str) -> str:
    """The option that sets it, by which messages call it."""
    return OTHER_NAMES.get(name, f"--{name.replace('_', '-')}")
