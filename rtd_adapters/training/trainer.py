"""The training loop, on accelerate: steps, checkpoints, validation, trackers."""

from __future__ import annotations

import json
import math
import shutil
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

from rtd_adapters.backbones import Backbone
from rtd_adapters.errors import FileError, TrainingError
from rtd_adapters.methods import Method
from rtd_adapters.text import TextTower
from rtd_adapters.training.batches import TripletStream
from rtd_adapters.training.checkpoints import (
    RunState,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
    trained_tensors,
)
from rtd_adapters.training.engine import Engine, ReferenceEngine, Towers
from rtd_adapters.training.fast import FastEngine
from rtd_adapters.training.settings import TrainingSettings
from rtd_adapters.training.validation import anchor_recall
from rtd_adapters.triplets import Triplet

ENGINES: dict[str, Callable[..., Engine]] = {"fast": FastEngine, "reference": ReferenceEngine}
METRICS_FILE = "metrics.jsonl"
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
        accelerator = Accelerator(
            mixed_precision=self.settings.mixed_precision,
            cpu=self.options.device == "cpu",
            gradient_accumulation_steps=self.settings.gradient_accumulation,
            log_with=self.options.tracker,
            project_dir=self.options.folder,
        )
        if accelerator.num_processes > 1:
            raise TrainingError(
                f"{accelerator.num_processes} processes were started, and this version trains in "
                "one. Start rtd by itself, without torchrun or accelerate launch."
            )
        if self.options.tracker:
            config = {k: v for k, v in self.settings.to_dict().items() if v is not None}
            accelerator.init_trackers("rtd", config=config)
        return accelerator


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
        )
        optimizer = torch.optim.AdamW(
            trained_tensors(tower).values(),
            lr=self.settings.learning_rate,
            weight_decay=self.settings.weight_decay,
            fused=device.type in ("cpu", "cuda"),
        )
        self.optimizer = accelerator.prepare(optimizer)
        self.engine = trainer.engine(self.towers, self.settings, accelerator.autocast)
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
            disable=self.options.quiet or not self.accelerator.is_main_process or None,
            desc="patching",
            unit="step",
        ) as bar:
            while self.step < self.settings.steps:
                loss = self._train_one()
                bar.update()
                bar.set_postfix(loss=f"{loss:.3f}")
        if self.options.select and self.best_tensors is not None:
            self._take_best()
        self.record.texts_cut = self.tokenizer.truncated
        self.record.texts_cleaned = self.tokenizer.cleaned
        return self.record

    def _train_one(self) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.settings, self.step)
        losses = []
        for part in range(self.settings.gradient_accumulation):
            with self.accelerator.accumulate(self.tower):
                batch = self.stream.batch(self.step * self.settings.gradient_accumulation + part)
                # Dropout too depends on seed and step alone, so a resume needs no random state.
                torch.manual_seed(batch.noise_seed)
                losses.append(self.engine.step(batch, self.accelerator.backward))
                self._require_finite(losses[-1])
                if self.accelerator.sync_gradients:
                    self._note_gradients()
                    if self.settings.max_grad_norm is not None:
                        self.accelerator.clip_grad_norm_(
                            self.tower.parameters(), self.settings.max_grad_norm
                        )
                self.optimizer.step()
                self.optimizer.zero_grad()
        self.step += 1
        loss = torch.stack(losses).mean().item()
        self._after_step(loss)
        return loss

    def _after_step(self, loss: float) -> None:
        self.record.losses.append(loss)
        metrics = {"loss": loss, "learning_rate": learning_rate(self.settings, self.step - 1)}
        if self.options.validate_every and self.step % self.options.validate_every == 0:
            metrics |= self._validate()
        self.accelerator.log(metrics, step=self.step)
        self._write_metrics(metrics)
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
        if self.options.folder is None or not self.accelerator.is_main_process:
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
        self._forget_metrics_after(self.step)

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
            or not (name.endswith("k_proj.bias") or grad.any())
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

    def _write_metrics(self, metrics: dict[str, float]) -> None:
        if self.options.folder is None or not self.accelerator.is_main_process:
            return
        path = self.options.folder / METRICS_FILE
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": self.step, **metrics}) + "\n")
        except OSError as error:
            raise FileError(
                f"{path} cannot be written: {error.strerror}. Free some space, then --resume."
            ) from error

    def _forget_metrics_after(self, step: int) -> None:
        """Drop the lines of steps that will be run again."""
        assert self.options.folder is not None
        path = self.options.folder / METRICS_FILE
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines()
            kept = lines[:step]
            path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def learning_rate(settings: TrainingSettings, step: int) -> float:
    """The learning rate of a step counted from 0: linear warm-up, then constant or cosine."""
    peak = settings.learning_rate
    if step < settings.warmup_steps:
        return peak * (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return peak
    share = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return peak * 0.5 * (1 + math.cos(math.pi * share))


def has_checkpoint(folder: Path) -> bool:
    """Whether a run that was cut off left a checkpoint to resume from."""
    return bool(list_checkpoints(folder))


def remove_run(folder: Path) -> None:
    """Delete a run's folder."""
    shutil.rmtree(folder, ignore_errors=True)
