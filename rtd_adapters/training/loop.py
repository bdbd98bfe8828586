"""The training loop: steps, and what happens between them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from rtd_adapters.errors import TrainingError
from rtd_adapters.training.callbacks import Callback, RunView
from rtd_adapters.training.intervals import CheckpointIntervals
from rtd_adapters.training.late import Late
from rtd_adapters.training.options import RunOptions
from rtd_adapters.training.parameters import trained_tensors
from rtd_adapters.training.reach import Reach
from rtd_adapters.training.record import TrainingRecord
from rtd_adapters.training.reporting import MetricsLog, Progress, Trackers
from rtd_adapters.training.resume import Checkpoints
from rtd_adapters.training.run_folder import checkpoint_path
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
        self._callbacks = self._told()
        self._record = TrainingRecord(steps=settings.steps)
        self._intervals = CheckpointIntervals(options)
        self._step = 0
        self._unread: Late | None = None
        """Loss of the step before, for which nobody has waited yet."""

    def run(self) -> TrainingRecord:
        """Train to the last step.

        Raises:
            TrainingError: the loss is not finite, a tensor gets no gradient, or a resume fits not.
        """
        if self._options.resume:
            self._step = self._checkpoints.resume()
        with ExitStack() as closing:
            self._begin(closing)
            while self._step < self._settings.steps:
                self._go_on()
            if self._store is not None:
                self._store.flush()
            for callback in self._callbacks:
                callback.end(self._record)
        return self._record

    def _told(self) -> list[Callback]:
        """Ours, then those of the options."""
        folder = self._options.folder if self._processes.is_main else None
        kept = [MetricsLog(folder)] if folder else []
        ours = [self._selection, Trackers(self._accelerator), *kept, Progress()]
        return [*ours, *self._options.callbacks]

    def _begin(self, closing: ExitStack) -> None:
        options = self._options
        run = RunView(
            self._model,
            self._settings,
            folder=options.folder,
            first_step=self._step,
            resumed=options.resume,
            quiet=options.quiet,
            is_main=self._processes.is_main,
            title=self._task.title,
        )
        for callback in self._callbacks:
            callback.begin(run)
            closing.callback(callback.close)

    def _go_on(self) -> None:
        """A step, and what is due after it.

        Its loss is read when the next step is under way, so that a GPU never waits for us; before
        figures are taken or anything is kept of the step, its loss is read and checked.
        """
        started = time.perf_counter()
        loss = Late(self._train_step())
        self._read_loss(self._step)
        self._step += 1
        self._unread = loss
        self._record.step_seconds.append(time.perf_counter() - started)
        finished = self._step == self._settings.steps
        validates = _is_due(self._step, self._options.validate_every)
        saves = not finished and self._intervals.is_due(self._step)
        if finished or validates or saves:
            self._read_loss(self._step, validates)
        if saves:
            self._save()

    def _train_step(self) -> Tensor:
        """One optimiser step over all its batches; returns their mean loss, for which nobody has
        waited."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self._settings, self._step)
        losses = []
        first = self._step * self._settings.gradient_accumulation
        for number in range(first, first + self._settings.gradient_accumulation):
            with self._accelerator.accumulate(self._model):
                losses.append(self._task.step(number, self._accelerator.backward))
                if self._accelerator.sync_gradients:
                    self._finish_gradients()
                self._optimizer.step()
                self._optimizer.zero_grad()
        return torch.stack(losses).mean()

    def _finish_gradients(self) -> None:
        """Add up the gradients of all processes, check them, and clip them if asked."""
        self._processes.sum_gradients(trained_tensors(self._model).values())
        self._reach.check()
        if self._settings.max_grad_norm is not None:
            self._accelerator.clip_grad_norm_(
                self._model.parameters(), self._settings.max_grad_norm
            )

    def _read_loss(self, step: int, validates: bool = False) -> None:
        """Check and note the loss of a step, and figures if they are due; nothing where its loss
        was read before.

        Raises:
            TrainingError: it is not finite.
        """
        if self._unread is None:
            return
        loss, self._unread = self._unread.read(), None
        self._require_finite(loss, step)
        self._record.losses.append(loss)
        metrics = {"loss": loss, "learning_rate": learning_rate(self._settings, step - 1)}
        if validates:
            metrics |= self._validate(step)
        for callback in self._callbacks:
            callback.step(step, MappingProxyType(metrics))

    def _validate(self, step: int) -> dict[str, float]:
        for callback in self._callbacks:
            callback.validating(step)
        figures = self._task.validate()
        self._record.validations.append({"step": step, **figures})
        for callback in self._callbacks:
            callback.validation(step, MappingProxyType(figures))
        return figures

    def _save(self) -> None:
        self._intervals.begin()
        if self._store is not None:
            self._store.flush()
        if self._processes.is_main:
            self._checkpoints.save(self._step)
        self._intervals.end()
        if folder := self._options.folder:
            for callback in self._callbacks:
                callback.save(self._step, checkpoint_path(folder, self._step))

    def _require_finite(self, loss: float, step: int) -> None:
        if math.isfinite(loss):
            return
        newest = self._checkpoints.newest
        kept = f"The last good checkpoint is {newest}." if newest else "No checkpoint was written."
        raise TrainingError(
            f"the loss became {loss} at step {step}. {kept} "
            "Lower --lr, or use --mixed-precision no."
        )


def _is_due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
