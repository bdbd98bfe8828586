"""The trainer: what a run is made of, put together and set going."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from accelerate.utils import set_seed
from torch import Tensor, nn

from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.clip.text import TextTower, tower_identity
from rtd_adapters.compute.ahead import Ahead
from rtd_adapters.compute.devices import usual_device
from rtd_adapters.compute.processes import Processes
from rtd_adapters.errors import UsageError
from rtd_adapters.methods.method import Method
from rtd_adapters.training.acceleration import accelerated
from rtd_adapters.training.allowance import Work, judged
from rtd_adapters.training.anchor_store import AnchorStore
from rtd_adapters.training.batches import TripletBatch, TripletStream
from rtd_adapters.training.engines import EngineClass, engine_class
from rtd_adapters.training.frozen_precision import AnchorError, anchor_error
from rtd_adapters.training.loop import Loop, Task
from rtd_adapters.training.optimizer import make_optimizer
from rtd_adapters.training.options import RunOptions
from rtd_adapters.training.preparation import batches_ahead
from rtd_adapters.training.record import TrainingRecord
from rtd_adapters.training.settings import TrainingSettings
from rtd_adapters.training.step import Engine, StepContext, Towers
from rtd_adapters.training.validation import HeldOut
from rtd_adapters.triplets import Triplet

TRIPLET = Work(trained=5, once=2, each=2)
"""Anchors of target and reference, the composed prompt and its gradient (the bare one costs a
token); of a held-out one the same anchors, then composed prompt and target by each tower."""


class Trainer:
    """Trains a text tower on triplets; `patch.fit(trainer)` calls it.

    Args:
        method: the composed-image-retrieval method.
        projection: its frozen projection.
        backbone: the backbone whose tower is patched.
        triplets: any sequence of triplets, held in memory or not.
        settings: what is computed.
        options: how it is carried out.
        engine: makes what computes a step; by default the class that the settings name.
    """

    def __init__(
        self,
        method: Method,
        projection: nn.Module,
        backbone: Backbone,
        triplets: Sequence[Triplet],
        settings: TrainingSettings,
        options: RunOptions | None = None,
        engine: EngineClass | None = None,
    ) -> None:
        self.method, self.projection, self.backbone = method, projection, backbone
        self.settings, self.options = settings, options or RunOptions()
        self.engine_class = engine or engine_class(settings.engine)
        self.tokenizer = method.tokenizer(backbone.tower)
        self.stream = TripletStream(
            triplets,
            self.tokenizer,
            batch_size=settings.batch_size,
            seed=settings.seed,
            keep_alignment=settings.keep_alignment,
        )

    def train(self, student: TextTower, identity: dict[str, Any]) -> TrainingRecord:
        """Train `student` in place; it ends on the CPU, in eval mode.

        Args:
            student: the tower to train; only parameters that require a gradient change.
            identity: what the caller adds to the settings to identify the run; a checkpoint of
                any other run is refused.

        Raises:
            TrainingError: the loss is not finite, a tensor gets no gradient, or a resume fits not.
        """
        set_seed(self.settings.seed)
        try:
            with accelerated(self.settings, self.options) as accelerator:
                processes = Processes(accelerator.process_index, accelerator.num_processes)
                _require_one_if_plain(self.settings, processes)
                store = self._anchor_store() if self.options.anchor_cache else None
                context = StepContext(accelerator.autocast, processes, store)
                towers = self._towers(student.train(), accelerator.device)
                engine = self.engine_class(towers, self.settings, context)
                run = identity | self.settings.to_dict()
                error = self._anchor_error()
                with self._batches(towers, context) as batches:
                    task = self._task(towers, engine, batches)
                    loop = Loop(self.settings, self.options, accelerator, task, context, run)
                    record = loop.run()
                record.anchor_error = error
                record.texts_cut = self.tokenizer.truncated
                record.texts_cleaned = self.tokenizer.cleaned
                return record
        finally:
            student.to("cpu").eval()
            self.backbone.tower.to("cpu")

    @cached_property
    def held_out(self) -> HeldOut:
        """The triplets that figures are taken on."""
        count = judged(self.settings, self.options, TRIPLET, self.stream.holdout)
        return HeldOut(self.stream.held_out().part(slice(0, count)))

    def figures(self, tower: TextTower) -> dict[str, float]:
        """What a tower makes of held-out triplets (`HeldOut.figures`), on the run's device; it
        ends on the CPU."""
        try:
            return self.held_out.figures(self._towers(tower, usual_device(self.options.device)))
        finally:
            tower.to("cpu")
            self.backbone.tower.to("cpu")

    def _batches(self, towers: Towers, context: StepContext) -> Ahead[TripletBatch]:
        return batches_ahead(self.stream, towers, self.settings, self.options, context)

    def _task(self, towers: Towers, engine: Engine, batches: Callable[[int], TripletBatch]) -> Task:
        def step(number: int, backward: Callable[[Tensor], None]) -> Tensor:
            return engine.step(batches(number), backward)

        return Task(
            towers.student,
            make_optimizer(towers.student, self.settings),
            step,
            lambda: self.held_out.figures(towers),
            "patching",
        )

    def _towers(self, student: TextTower, device: torch.device) -> Towers:
        return Towers(
            self.method,
            self.projection.to(device),
            self.backbone.tower.to(device),
            student.to(device),
            self.tokenizer,
            self.backbone.image_head.to(device),
        )

    def _anchor_error(self) -> AnchorError | None:
        precision = self.settings.frozen_precision
        if precision == "fp32":
            return None
        captions = self.stream.batch(0).targets
        return anchor_error(self.backbone.tower, self.tokenizer, captions, precision)

    def _anchor_store(self) -> AnchorStore:
        tower, precision = self.backbone.tower, self.settings.frozen_precision
        identity = tower_identity(tower)
        if precision != "fp32":  # anchors of another precision are other anchors
            identity = hashlib.sha256(f"{identity} in {precision}".encode()).hexdigest()
        return AnchorStore(
            identity,
            tower.config.embed_dim,
            self.backbone.label,
            self.tokenizer.added_token,
        )


def _require_one_if_plain(settings: TrainingSettings, processes: Processes) -> None:
    if processes.count > 1 and settings.engine == "reference":
        raise UsageError("the reference engine runs in one process. Use --engine fast.")
