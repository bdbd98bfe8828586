"""What the training of a projection is told."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rtd_adapters.training.settings import Noise, Precision, Schedule, require_bounds


@dataclass(frozen=True)
class InversionSettings:
    """Hyperparameters of one run. The defaults are torch's where it has some; what a method was
    published with is in its plugin (`ProjectionTraining.published`)."""

    steps: int = 20_000
    """Optimiser steps."""
    batch_size: int = 256
    """Captions or pictures a step, over all processes."""
    learning_rate: float = 1e-4
    """Peak learning rate of AdamW."""
    weight_decay: float = 0.01
    """AdamW's decoupled weight decay."""
    decay_biases: bool = True
    """Whether biases decay too, or weights alone."""
    beta2: float = 0.999
    """AdamW's second beta."""
    epsilon: float = 1e-8
    """AdamW's."""
    warmup_steps: int = 0
    """Steps of linear warm-up."""
    schedule: Schedule = "constant"
    """Learning rate after the warm-up."""
    noise_scale: float = 0.0
    """Of the noise on what the projection sees; 0 is none."""
    noise: Noise = "absolute"
    """The unit of its scale, as in `TrainingSettings`."""
    gradient_accumulation: int = 1
    """Batches whose gradients are averaged before each optimiser step."""
    max_grad_norm: float | None = None
    """Clip the gradient to this L2 norm; none by default."""
    mixed_precision: Precision = "no"
    """Autocast of projection and text tower; frozen embeddings and the loss are in fp32."""
    chunk_size: int | None = None
    """Prompts that a process embeds at a time (gradient caching): bounded memory for any batch
    size, the same gradients. By default the whole batch at once."""
    seed: int = 0
    """Decides initialisation, order, words drawn at random, noise and dropout."""

    def __post_init__(self) -> None:
        require_bounds(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in a projection's metadata."""
        return asdict(self)
