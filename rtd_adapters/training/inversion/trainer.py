"""The trainer of a projection: what a run is made of, put together and set going."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from accelerate.utils import set_seed
from torch import Tensor, nn

from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.clip.logit_scale import logit_scale
from rtd_adapters.clip.text import tower_identity
from rtd_adapters.compute.processes import Processes
from rtd_adapters.methods.inversion import Concept, ProjectionTraining
from rtd_adapters.methods.method import Method
from rtd_adapters.training.acceleration import accelerated
from rtd_adapters.training.allowance import Work, judged
from rtd_adapters.training.anchor_store import AnchorStore
from rtd_adapters.training.anchors import Anchors
from rtd_adapters.training.inversion.concepts import nearest_concepts
from rtd_adapters.training.inversion.engine import Apparatus, InversionEngine, frozen_batch
from rtd_adapters.training.inversion.figures import inversion_figures
from rtd_adapters.training.inversion.lessons import LessonStream
from rtd_adapters.training.inversion.settings import InversionSettings
from rtd_adapters.training.inversion.sources import PictureSource, Source
from rtd_adapters.training.inversion.teaching import Teacher
from rtd_adapters.training.loop import Loop, Task
from rtd_adapters.training.options import RunOptions
from rtd_adapters.training.parameters import trained_tensors
from rtd_adapters.training.record import TrainingRecord
from rtd_adapters.training.run_folder import list_checkpoints, taught_files
from rtd_adapters.training.step import StepContext

LESSON = Work(trained=3, once=1, each=1)
"""The prompt and its gradient; of what is held out, its own caption or picture, then the prompt."""
OpenSource = Callable[[Processes, torch.device], Source]
"""Gives what is learned from, once processes and device are known: pictures are embedded by all."""


@dataclass(frozen=True)
class InversionRun:
    """What a run did and what it says."""

    record: TrainingRecord
    before: dict[str, float]
    """Figures on what is held out, with random weights; see `inversion_figures`."""
    after: dict[str, float]
    things: int
    """Captions or pictures, the held-out ones included."""


class InversionTrainer:
    """Trains a projection against a backbone's frozen text tower.

    Args:
        method: whose projection it is.
        training: how it is trained; the method's own `projection_training`.
        backbone: whose tower is inverted.
        source: captions, or pictures.
        settings: what is computed.
        options: how it is carried out.
        concepts: of which pictures are told the nearest, where the training says so.
    """

    def __init__(
        self,
        method: Method,
        training: ProjectionTraining,
        backbone: Backbone,
        source: OpenSource,
        settings: InversionSettings,
        options: RunOptions | None = None,
        concepts: Sequence[Concept] = (),
    ) -> None:
        self.method, self.training, self.backbone = method, training, backbone
        self.source, self.settings, self.options = source, settings, options or RunOptions()
        self.concepts = concepts
        self.tokenizer = method.tokenizer(backbone.tower)
        self.logit_scale = logit_scale(backbone.model) if backbone.model else None

    def fresh(self) -> nn.Module:
        """The method's projection with random weights that follow from the seed, to be trained."""
        with torch.random.fork_rng():
            torch.manual_seed(self.settings.seed)
            return self.method.build_projection(self.backbone.shape)

    def train(self, projection: nn.Module, identity: dict[str, Any]) -> InversionRun:
        """Train a projection in place; it ends frozen on the CPU, in eval mode.

        Args:
            projection: of the backbone's sizes.
            identity: what the caller adds to the settings to identify the run; a checkpoint of
                any other run is refused.

        Raises:
            TripletError: there is nothing to learn from, or too little.
            TrainingError: the loss is not finite, a tensor gets no gradient, or a resume fits not.
        """
        set_seed(self.settings.seed)
        try:
            with accelerated(self.settings, self.options) as accelerator:
                processes = Processes(accelerator.process_index, accelerator.num_processes)
                run = identity | self.settings.to_dict()
                store = self._anchor_store() if self.options.anchor_cache else None
                context = StepContext(accelerator.autocast, processes, store)
                source = self.source(processes, accelerator.device)
                source = self._prepared(source, run, context, accelerator.device)
                projection.to(accelerator.device).requires_grad_(True).train()
                apparatus = self._apparatus(projection, source, context, accelerator.device)
                stream = self._stream(source)
                task = self._task(apparatus, stream, context)
                before = task.validate()
                options = self._loop_options()
                record = Loop(self.settings, options, accelerator, task, context, run).run()
                record.texts_cut = self.tokenizer.truncated
                record.texts_cleaned = self.tokenizer.cleaned
                return InversionRun(record, before, task.validate(), len(source))
        finally:
            projection.to("cpu").eval().requires_grad_(False)
            self.backbone.tower.to("cpu")

    def _prepared(
        self, source: Source, run: dict[str, Any], context: StepContext, device: torch.device
    ) -> Source:
        """Pictures with what the training tells of them and teaches them.

        Raises:
            TrainingError: kept tokens are of another run.
        """
        training = self.training
        if not isinstance(source, PictureSource) or not training.concepts:
            return source
        tower = self.backbone.tower.to(device)
        anchors = Anchors(tower, self.tokenizer, context.store, context.processes)
        places = range(len(source))
        nearest = nearest_concepts(
            self.concepts,
            source.embeddings(places, anchors),
            training.templates,
            anchors,
            training.concepts,
        )
        told = source.with_concepts(self.concepts, nearest)
        if training.teaching is None:
            return told
        seed = self.settings.seed
        teacher = Teacher(self.method, training.teaching, tower, self.tokenizer, told, seed)
        ours = json.dumps(run | {"pictures": len(source)}, sort_keys=True)
        key = hashlib.sha256(ours.encode()).hexdigest()
        quiet = self.options.quiet
        return told.with_tokens(teacher.tokens(self.options.folder, key, context.processes, quiet))

    def _loop_options(self) -> RunOptions:
        """Those of the steps: a run that was cut off before the first checkpoint begins at step
        0, with the tokens that it had found."""
        folder = self.options.folder
        if self.options.resume and folder and taught_files(folder) and not list_checkpoints(folder):
            return replace(self.options, resume=False)
        return self.options

    def _stream(self, source: Source) -> LessonStream:
        return LessonStream(
            source,
            self.training,
            self.method,
            self.tokenizer,
            batch_size=self.settings.batch_size,
            seed=self.settings.seed,
        )

    def _apparatus(
        self, projection: nn.Module, source: Source, context: StepContext, device: torch.device
    ) -> Apparatus:
        tower = self.backbone.tower.to(device)
        anchors = Anchors(tower, self.tokenizer, context.store, context.processes)
        return Apparatus(
            self.method,
            self.training,
            projection,
            tower,
            self.tokenizer,
            source,
            anchors,
            self.logit_scale,
        )

    def _task(self, apparatus: Apparatus, stream: LessonStream, context: StepContext) -> Task:
        engine = InversionEngine(apparatus, self.settings, context.autocast, context.processes)
        held_out = stream.held_out(judged(self.settings, self.options, LESSON, stream.holdout))
        frozen = cache(lambda: frozen_batch(apparatus, held_out))

        def step(number: int, backward: Callable[[Tensor], None]) -> Tensor:
            return engine.step(stream.batch(number), backward)

        return Task(
            apparatus.projection,
            make_optimizer(apparatus.projection, self.settings),
            step,
            lambda: inversion_figures(apparatus, held_out, *frozen()) if len(held_out) else {},
            f"{self.method.name}'s projection",
        )

    def _anchor_store(self) -> AnchorStore:
        tower = self.backbone.tower
        added = self.tokenizer.added_token
        identity, dimension = tower_identity(tower), tower.config.embed_dim
        return AnchorStore(identity, dimension, self.backbone.label, added)


def make_optimizer(projection: nn.Module, settings: InversionSettings) -> torch.optim.AdamW:
    """AdamW over a projection's tensors."""
    trained = trained_tensors(projection)
    biases = [value for name, value in trained.items() if name.endswith("bias")]
    weights = [value for name, value in trained.items() if not name.endswith("bias")]
    decay = settings.weight_decay
    return torch.optim.AdamW(
        [
            {"params": weights, "weight_decay": decay},
            {"params": biases, "weight_decay": decay if settings.decay_biases else 0.0},
        ],
        lr=settings.learning_rate,
        betas=(0.9, settings.beta2),
        eps=settings.epsilon,
    )
