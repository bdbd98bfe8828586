"""What every engine is given and asked for, and the queries of a refined batch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from rtd_adapters.clip.image_head import ImageHead
from rtd_adapters.clip.text import TextTower, Tokenizer
from rtd_adapters.compute.processes import Processes
from rtd_adapters.methods.method import Method
from rtd_adapters.methods.query import Composition
from rtd_adapters.methods.reference import Reference
from rtd_adapters.methods.stand_ins import CaptionSide, words_in_place
from rtd_adapters.training.batches import TripletBatch
from rtd_adapters.training.concatenation import add_noise
from rtd_adapters.training.settings import TrainingSettings

if TYPE_CHECKING:
    from rtd_adapters.training.anchor_store import AnchorStore


@dataclass(frozen=True)
class Towers:
    """The networks of one run: what is trained and what stays frozen."""

    method: Method
    projection: nn.Module
    frozen: TextTower
    student: TextTower
    tokenizer: Tokenizer
    image_head: ImageHead = field(default_factory=ImageHead)
    """Lifts joint-space vectors for methods that read an image tower's states."""

    @property
    def device(self) -> torch.device:
        """Where the frozen tower lives; batches are moved there."""
        return self.frozen.device


@dataclass(frozen=True)
class StepContext:
    """What a run lends its engine for every step."""

    autocast: Callable[[], AbstractContextManager] = nullcontext
    """Entered wherever the student runs."""
    processes: Processes = field(default_factory=Processes)
    """Those that share each batch."""
    store: AnchorStore | None = None
    """Where anchors are kept, if anywhere."""


class Engine(Protocol):
    """One way to compute a step. Engines differ in speed, never in what they compute."""

    def step(self, batch: TripletBatch, backward: Callable[[Tensor], None]) -> Tensor:
        """Add the gradients of the batch's loss to the student and return the detached loss."""


def anchored_captions(batch: TripletBatch, settings: TrainingSettings) -> list[list[str]]:
    """The captions of a refined batch that are anchored: one list for each kind of pair."""
    kinds = [batch.targets]
    if settings.refined_batch:
        kinds.append(batch.references)
    if batch.plain:
        kinds.append(batch.plain)
    return kinds


def refined_compositions(
    towers: Towers, batch: TripletBatch, embedding: Tensor, settings: TrainingSettings
) -> list[Composition]:
    """What the student embeds for a refined batch, in the order of `anchored_captions`.

    Args:
        towers: of the run.
        batch: a batch, or a part of one.
        embedding: [B, embed_dim] of its reference captions by the frozen tower, without noise.
        settings: of the run.
    """
    plain = [Composition.of(batch.plain)] if batch.plain else []
    if settings.concat == "text":
        composed, bare = text_compositions(towers.method, batch)
    else:
        method, projection = towers.method, towers.projection
        relative = settings.noise == "relative"
        reference = refined_reference(towers, batch, embedding, settings.noise_scale, relative)
        composed = method.composed(projection, reference, batch.conditioning)
        if not settings.refined_batch:
            return [composed, *plain]
        bare = method.bare(projection, reference)
    return [composed, *([bare] if settings.refined_batch else []), *plain]


def refined_reference(
    towers: Towers,
    batch: TripletBatch,
    embedding: Tensor,
    noise_scale: float,
    relative: bool = False,
) -> Reference:
    """The batch's references as the method sees them: `embedding` [B, embed_dim] plus noise, as
    `add_noise` makes it."""
    generator = batch.generator()

    def noise(vectors: Tensor) -> Tensor:
        return add_noise(vectors, noise_scale, generator, batch.first, batch.whole, relative)

    side = CaptionSide(towers.frozen, towers.tokenizer, towers.image_head, noise)
    reference = side.reference(towers.method, batch.references, embedding, towers.student)
    return replace(reference, kept={})


def text_compositions(method: Method, batch: TripletBatch) -> tuple[Composition, Composition]:
    """Composed and bare prompts with the reference caption's own words at the placeholder, for the
    ablation."""
    composed = words_in_place(method, batch.references, batch.conditioning)
    bare = [method.bare_prompt.replace(method.placeholder, caption) for caption in batch.references]
    return composed, Composition.of(bare)
