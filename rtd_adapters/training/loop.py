"""The training loop: steps, and what happens between them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from rtd_adapters.errors import TrainingError
from rtd_adapters.training.metrics_file import MetricsFile
from rtd_adapters.training.options import RunOptions
from rtd_adapters.training.parameters import trained_tensors
from rtd_adapters.training.reach import Reach
from rtd_adapters.training.record import TrainingRecord
from rtd_adapters.training.resume import Checkpoints
from rtd_adapters.training.schedule import learning_rate
from rtd_adapters.training.selection import Selection
from rtd_adapters.training.settings import Course
from rtd_adapters.training.step import StepContext

Backward = Callable[[Tensor], None]


@dataclass(frozen=True)
class Task:
    """What a run trains, and how."""

    model: nn.Module
    """On the run's device, in training mode; its parameters that require a gradient are trained."""
    optimizer: torch.optim.Optimizer
    """Of these parameters."""
    step: Callable[[int, Backward], Tensor]
    """Adds the gradients of a batch's loss, by the batch's number, and returns that loss, detached.
    Given and passed to `backward` is this process's part of it."""
    validate: Callable[[], dict[str, float]]
    """Figures on what is held out."""
    title: str
    """Of the progress bar."""


class Loop:
    """One run: the state that lives only as long as it does.

    Args:
        settings: what is computed.
        options: how it is carried out.
        accelerator: of this run.
        task: what is trained.
        context: what its steps were lent.
        identity: of the run; a checkpoint of any other is refused.
    """

    def __init__(
        self,
        settings: Course,
        options: RunOptions,
        accelerator: Accelerator,
        task: Task,
        context: StepContext,
        identity: dict[str, Any],
    ) -> None:
        self._settings, self._options, self._accelerator = settings, options, accelerator
        self._task, self._model = task, task.model
        self._processes, self._store = context.processes, context.store
        self._optimizer = accelerator.prepare(task.optimizer)
        self._selection = Selection(self._model, options.select)
        self._checkpoints = Checkpoints(
            options.folder,
            identity,
            self._model,
            self._optimizer.optimizer,
            accelerator.scaler,
            self._selection,
        )
        self._reach = Reach(self._model)
        folder = options.folder if self._processes.is_main else None
        self._metrics = MetricsFile(folder) if folder else None
        self._record = TrainingRecord(steps=settings.steps)
        self._step = 0

    def run(self) -> TrainingRecord:
        """Train to the last step.

        Raises:
            TrainingError: the loss is not finite, a tensor gets no gradient, or a resume fits not.
        """
        if self._options.resume:
            self._resume()
        elif self._metrics:
            self._metrics.remove()
        with self._progress() as bar:
            while self._step < self._settings.steps:
                loss = self._train_step()
                self._after_step(loss)
                bar.update()
                bar.set_postfix(loss=f"{loss:.3f}")
        if self._store is not None:
            self._store.flush()
        self._record.selected_step = self._selection.take_best()
        return self._record

    def _resume(self) -> None:
        self._step = self._checkpoints.resume()
        if self._metrics:
            self._metrics.forget_after(self._step)

    def _progress(self) -> tqdm:
        return tqdm(
            total=self._settings.steps,
            initial=self._step,
            disable=self._options.quiet or not self._processes.is_main or None,
            desc=self._task.title,
            unit="step",
        )

    def _train_step(self) -> float:
        """One optimiser step over all its batches; returns their mean loss."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self._settings, self._step)
        started, losses = time.perf_counter(), []
        first = self._step * self._settings.gradient_accumulation
        for number in range(first, first + self._settings.gradient_accumulation):
            with self._accelerator.accumulate(self._model):
                losses.append(self._task.step(number, self._accelerator.backward))
                self._require_finite(losses[-1])
                if self._accelerator.sync_gradients:
                    self._finish_gradients()
                self._optimizer.step()
                self._optimizer.zero_grad()
        self._step += 1
        self._record.step_seconds.append(time.perf_counter() - started)
        loss = torch.stack(losses).mean().item()
        self._record.losses.append(loss)
        return loss

    def _finish_gradients(self) -> None:
        """Add up the gradients of all processes, check them, and clip them if asked."""
        self._processes.sum_gradients(trained_tensors(self._model).values())
        self._reach.check()
        if self._settings.max_grad_norm is not None:
            self._accelerator.clip_grad_norm_(
                self._model.parameters(), self._settings.max_grad_norm
            )

    def _after_step(self, loss: float) -> None:
        metrics = {"loss": loss, "learning_rate": learning_rate(self._settings, self._step - 1)}
        if _is_due(self._step, self._options.validate_every):
            metrics |= self._validate()
        self._accelerator.log(metrics, step=self._step)
        if self._metrics:
            self._metrics.append(self._step, metrics)
        unfinished = self._step < self._settings.steps
        if unfinished and _is_due(self._step, self._options.checkpoint_every):
            self._save()

    def _validate(self) -> dict[str, float]:
        metrics = self._task.validate()
        self._record.validations.append({"step": self._step, **metrics})
        self._selection.consider(self._step, metrics)
        return metrics

    def _save(self) -> None:
        if self._store is not None:
            self._store.flush()
        if self._processes.is_main:
            self._checkpoints.save(self._step)

    def _require_finite(self, loss: Tensor) -> None:
        if torch.isfinite(loss):
            return
        newest = self._checkpoints.newest
        kept = f"The last good checkpoint is {newest}." if newest else "No checkpoint was written."
        raise TrainingError(
            f"the loss became {loss.item()} at step {self._step + 1}. {kept} "
            "Lower --lr, or use --mixed-precision no."
        )


def _is_due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
