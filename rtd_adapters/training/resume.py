"""A run's folder: its checkpoints, written as it goes, and going on from the newest."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rtd_adapters.errors import TrainingError
from rtd_adapters.training.checkpoint import RunState, load_checkpoint, save_checkpoint
from rtd_adapters.training.selection import Selection

KEPT = 2
PREFIX = "step-"


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: where they lie; None keeps none.
        identity: of the run; a checkpoint of any other is refused.
        tower: that is trained.
        optimizer: torch's own, unwrapped.
        scaler: accelerate's gradient scaler, in fp16.
        selection: whose best tower goes along.
    """

    def __init__(
        self,
        folder: Path | None,
        identity: dict[str, Any],
        tower: nn.Module,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler | None,
        selection: Selection,
    ) -> None:
        self._folder, self._identity = folder, identity
        self._tower, self._optimizer, self._scaler = tower, optimizer, scaler
        self._selection = selection

    @property
    def newest(self) -> Path | None:
        """The checkpoint to go on from."""
        written = list_checkpoints(self._folder) if self._folder else []
        return written[-1] if written else None

    def save(self, step: int) -> None:
        """Write the run as it stands after a step, then drop all but the newest checkpoints.

        Raises:
            FileError: the disk refuses.
        """
        if self._folder is None:
            return
        scaler = self._scaler.state_dict() if self._scaler else {}
        state = RunState(step, self._identity, scaler, self._selection.best)
        path = self._folder / f"{PREFIX}{step:09d}"
        save_checkpoint(path, state, self._tower, self._optimizer)
        for old in list_checkpoints(self._folder)[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def resume(self) -> int:
        """Bring the run back to its newest checkpoint; returns how many steps that one has made.

        Raises:
            TrainingError: there is none, or it belongs to another run.
            FileError: it is damaged.
        """
        newest = self.newest
        if newest is None:
            raise TrainingError(
                f"--resume: no checkpoint in {self._folder}. "
                "Run without --resume to start at step 0."
            )
        state = load_checkpoint(newest, self._identity, self._tower, self._optimizer)
        self._selection.best = state.best
        if state.scaler and self._scaler:
            self._scaler.load_state_dict(state.scaler)
        return state.step


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first. A half-written one never bears this name."""
    return sorted(folder.glob(f"{PREFIX}*")) if folder.is_dir() else []


def has_checkpoint(folder: Path) -> bool:
    """Whether a run that was cut off left a checkpoint to resume from."""
    return bool(list_checkpoints(folder))


def remove_run(folder: Path) -> None:
    """Delete a run's folder."""
    shutil.rmtree(folder, ignore_errors=True)
