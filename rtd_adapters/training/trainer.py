"""The training loop, on accelerate: steps, checkpoints, validation, trackers."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed
from torch import Tensor, nn
from tqdm import tqdm

from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.clip.text import TextTower, fingerprint
from rtd_adapters.errors import TrainingError, UsageError
from rtd_adapters.methods.method import Method
from rtd_adapters.training.anchor_store import AnchorStore
from rtd_adapters.training.batches import TripletStream
from rtd_adapters.training.fast import FastEngine
from rtd_adapters.training.metrics_file import MetricsFile
from rtd_adapters.training.optimizer import make_optimizer
from rtd_adapters.training.processes import Processes, launched
from rtd_adapters.training.reference import ReferenceEngine
from rtd_adapters.training.resume import (
    RunState,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
    trained_tensors,
)
from rtd_adapters.training.schedule import learning_rate
from rtd_adapters.training.settings import TrainingSettings
from rtd_adapters.training.step import Engine, StepContext, Towers
from rtd_adapters.training.validation import anchor_recall
from rtd_adapters.triplets import Triplet

ENGINES: dict[str, Callable[..., Engine]] = {"fast": FastEngine, "reference": ReferenceEngine}
STEPS_UNTIL_REACHED = 2  # LoRA's A sees no gradient before B has moved away from zero


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out. Nothing here changes what it computes."""

    folder: Path | None = None
    """Where checkpoints and metrics.jsonl go; None keeps nothing."""
    resume: bool = False
    """Go on from the folder's newest checkpoint."""
    checkpoint_every: int = 0
    """Steps between checkpoints; 0 writes none."""
    validate_every: int = 0
    """Steps between validations; 0 validates never."""
    select: str | None = None
    """Keep the tower that was best on this validation metric instead of the last one."""
    tracker: str | None = None
    """An accelerate tracker, such as tensorboard."""
    anchor_cache: bool = False
    """Keep anchors on disk, for later epochs and runs with the same frozen tower."""
    quiet: bool = False
    """No progress bar."""
    device: str | None = None
    """cpu, cuda, ...; accelerate's choice by default."""


@dataclass
class TrainingRecord:
    """What a run did."""

    steps: int
    losses: list[float] = field(default_factory=list)
    """Loss of every step this process ran, the resumed part only."""
    step_seconds: list[float] = field(default_factory=list)
    """Wall time of every such step."""
    validations: list[dict[str, float]] = field(default_factory=list)
    selected_step: int | None = None
    texts_cut: int = 0
    """Texts that were longer than the context length and were cut."""
    texts_cleaned: int = 0
    """Texts that held a placeholder or special token, which was removed."""


class Trainer:
    """Trains a text tower on triplets; `patch.fit(trainer)` calls it.

    Args:
        method: the composed-image-retrieval method.
        projection: its frozen projection.
        backbone: the backbone whose tower is patched.
        triplets: any sequence of triplets, held in memory or not.
        settings: what is computed.
        options: how it is carried out.
        engine: how a step is computed; by default what the settings name.
    """

    def __init__(
        self,
        method: Method,
        projection: nn.Module,
        backbone: Backbone,
        triplets: Sequence[Triplet],
        settings: TrainingSettings,
        options: RunOptions | None = None,
        engine: Callable[..., Engine] | None = None,
    ) -> None:
        self.method, self.projection, self.backbone = method, projection, backbone
        self.settings, self.options = settings, options or RunOptions()
        self.engine = engine or ENGINES[settings.engine]
        self.tokenizer = method.tokenizer(backbone.tower.config.context_length)
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
        accelerator = self._accelerator()
        loop = _Loop(self, accelerator, student, identity | self.settings.to_dict())
        try:
            return loop.run()
        finally:
            accelerator.end_training()
            # accelerate remembers device and precision for the life of the process otherwise.
            AcceleratorState._reset_state(reset_partial_state=accelerator.num_processes == 1)
            student.to("cpu").eval()
            self.backbone.tower.to("cpu")

    def _accelerator(self) -> Accelerator:
        several = launched().count > 1
        accelerator = Accelerator(
            mixed_precision=self.settings.mixed_precision,
            # Without a GPU, accelerate joins processes only if it is told of the CPU.
            cpu=self.options.device == "cpu" or (several and not torch.cuda.is_available()),
            gradient_accumulation_steps=self.settings.gradient_accumulation,
            log_with=self.options.tracker,
            project_dir=self.options.folder,
        )
        self._require_shares(accelerator.num_processes)
        if self.options.tracker:
            config = {k: v for k, v in self.settings.to_dict().items() if v is not None}
            accelerator.init_trackers("rtd", config=config)
        return accelerator

    def _require_shares(self, processes: int) -> None:
        if processes != launched().count:
            raise TrainingError(
                f"{launched().count} processes were started, but accelerate joined {processes}. "
                "Start them with torchrun or accelerate launch, or pass --device cpu."
            )
        if processes == 1:
            return
        if self.settings.engine == "reference":
            raise UsageError("the reference engine runs in one process. Use --engine fast.")
        if self.settings.batch_size % processes:
            raise UsageError(
                f"--batch-size {self.settings.batch_size} cannot be shared evenly among "
                f"{processes} processes. Choose a multiple."
            )


class _Loop:
    """One run of a trainer: the state that lives only as long as it does."""

    def __init__(
        self, trainer: Trainer, accelerator: Accelerator, tower: TextTower, identity: dict[str, Any]
    ) -> None:
        self.settings, self.options = trainer.settings, trainer.options
        self.accelerator, self.stream, self.identity = accelerator, trainer.stream, identity
        self.tokenizer = trainer.tokenizer
        device = accelerator.device
        self.tower = tower.to(device).train()
        self.towers = Towers(
            trainer.method,
            trainer.projection.to(device),
            trainer.backbone.tower.to(device),
            tower,
            trainer.tokenizer,
            trainer.backbone.image_head.to(device),
        )
        self.optimizer = accelerator.prepare(make_optimizer(tower, self.settings))
        self.processes = Processes(accelerator.process_index, accelerator.num_processes)
        self.store = _open_store(trainer) if self.options.anchor_cache else None
        context = StepContext(accelerator.autocast, self.processes, self.store)
        self.engine = trainer.engine(self.towers, self.settings, context)
        folder = self.options.folder if self.processes.is_main else None
        self.metrics = MetricsFile(folder) if folder else None
        self.record = TrainingRecord(steps=self.settings.steps)
        self.step = 0
        self.best: dict[str, Any] = {}
        self.best_tensors: dict[str, Tensor] | None = None
        self.unreached = set(trained_tensors(tower))

    def run(self) -> TrainingRecord:
        if self.options.resume:
            self._resume()
        with tqdm(
            total=self.settings.steps,
            initial=self.step,
            disable=self.options.quiet or not self.processes.is_main or None,
            desc="patching",
            unit="step",
        ) as bar:
            while self.step < self.settings.steps:
                loss = self._train_one()
                bar.update()
                bar.set_postfix(loss=f"{loss:.3f}")
        if self.store is not None:
            self.store.flush()
        if self.options.select and self.best_tensors is not None:
            self._take_best()
        self.record.texts_cut = self.tokenizer.truncated
        self.record.texts_cleaned = self.tokenizer.cleaned
        return self.record

    def _train_one(self) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.settings, self.step)
        started, losses = time.perf_counter(), []
        for part in range(self.settings.gradient_accumulation):
            with self.accelerator.accumulate(self.tower):
                batch = self.stream.batch(self.step * self.settings.gradient_accumulation + part)
                losses.append(self.engine.step(batch, self.accelerator.backward))
                self._require_finite(losses[-1])
                if self.accelerator.sync_gradients:
                    self.processes.sum_gradients(trained_tensors(self.tower).values())
                    self._note_gradients()
                    if self.settings.max_grad_norm is not None:
                        self.accelerator.clip_grad_norm_(
                            self.tower.parameters(), self.settings.max_grad_norm
                        )
                self.optimizer.step()
                self.optimizer.zero_grad()
        self.step += 1
        self.record.step_seconds.append(time.perf_counter() - started)
        loss = torch.stack(losses).mean().item()
        self._after_step(loss)
        return loss

    def _after_step(self, loss: float) -> None:
        self.record.losses.append(loss)
        metrics = {"loss": loss, "learning_rate": learning_rate(self.settings, self.step - 1)}
        if self.options.validate_every and self.step % self.options.validate_every == 0:
            metrics |= self._validate()
        self.accelerator.log(metrics, step=self.step)
        if self.metrics:
            self.metrics.append(self.step, metrics)
        every = self.options.checkpoint_every
        if every and self.step % every == 0 and self.step < self.settings.steps:
            self._save()

    def _validate(self) -> dict[str, float]:
        metrics = anchor_recall(self.towers, self.stream.held_out())
        self.record.validations.append({"step": self.step, **metrics})
        metric = self.options.select
        if metric is None:
            return metrics
        if metric not in metrics:
            known = ", ".join(metrics) or "none: no triplets are held out"
            raise TrainingError(
                f"--select {metric}: no such validation metric (there are: {known})."
            )
        if not self.best or metrics[metric] > self.best["value"]:
            self.best = {"step": self.step, "metric": metric, "value": metrics[metric]}
            tensors = trained_tensors(self.tower).items()
            self.best_tensors = {name: value.detach().cpu().clone() for name, value in tensors}
        return metrics

    def _take_best(self) -> None:
        assert self.best_tensors is not None
        with torch.no_grad():
            for name, parameter in trained_tensors(self.tower).items():
                parameter.copy_(self.best_tensors[name])
        self.record.selected_step = self.best["step"]

    def _save(self) -> None:
        if self.store is not None:
            self.store.flush()
        if self.options.folder is None or not self.processes.is_main:
            return
        scaler = self.accelerator.scaler
        state = RunState(self.step, self.identity, scaler.state_dict() if scaler else {}, self.best)
        save_checkpoint(
            self.options.folder, state, self.tower, self.optimizer.optimizer, self.best_tensors
        )

    def _resume(self) -> None:
        folder = self.options.folder
        found = list_checkpoints(folder) if folder else []
        if not found:
            raise TrainingError(
                f"--resume: no checkpoint in {folder}. Run without --resume to start at step 0."
            )
        state, self.best_tensors = load_checkpoint(
            found[-1], self.identity, self.tower, self.optimizer.optimizer
        )
        self.step, self.best = state.step, state.best
        if state.scaler and self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(state.scaler)
        if self.metrics:
            self.metrics.forget_after(self.step)

    def _note_gradients(self) -> None:
        """Within the first steps every trained tensor must have received a gradient."""
        if not self.unreached:
            return
        trained = trained_tensors(self.tower)
        self.unreached = {
            name
            for name in self.unreached
            # A key bias shifts all scores of a row alike, so its true gradient is zero.
            if (grad := trained[name].grad) is None
            or not (name.endswith("k_proj.bias") or grad.abs().sum())
        }
        if self.unreached and len(self.record.losses) + 1 >= STEPS_UNTIL_REACHED:
            names = sorted(self.unreached)
            raise TrainingError(
                f"{len(names)} trained tensors received no gradient in {STEPS_UNTIL_REACHED} steps "
                f"({', '.join(names[:3])}, ...). They would be saved untrained; "
                "narrow the trained layers."
            )

    def _require_finite(self, loss: Tensor) -> None:
        if torch.isfinite(loss):
            return
        found = list_checkpoints(self.options.folder) if self.options.folder else []
        kept = (
            f"The last good checkpoint is {found[-1]}." if found else "No checkpoint was written."
        )
        raise TrainingError(
            f"the loss became {loss.item()} at step {self.step + 1}. {kept} "
            "Lower --lr, or use --mixed-precision no."
        )


def _open_store(trainer: Trainer) -> AnchorStore:
    tower, backbone = trainer.backbone.tower, trainer.backbone
    return AnchorStore(
        fingerprint(tower.state_dict())["fp32"],
        tower.config.embed_dim,
        backbone.label,
        trainer.tokenizer.added_token,
    )


def has_checkpoint(folder: Path) -> bool:
    """Whether a run that was cut off left a checkpoint to resume from."""
    return bool(list_checkpoints(folder))


def remove_run(folder: Path) -> None:
    """Delete a run's folder."""
    shutil.rmtree(folder, ignore_errors=True)
