"""A run's checkpoints: written as it goes, and going on from the newest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from rtd_adapters.errors import FileError, TrainingError
from rtd_adapters.training.checkpoint import RunState, load_checkpoint, save_checkpoint
from rtd_adapters.training.run_folder import checkpoint_path, keep_newest, list_checkpoints
from rtd_adapters.training.selection import Selection

KEPT = 2


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
        path = checkpoint_path(self._folder, step)
        save_checkpoint(path, state, self._tower, self._optimizer)
        keep_newest(self._folder, KEPT)

    def resume(self) -> int:
        """Bring the run back to its newest checkpoint; returns how many steps that one has made.

        Raises:
            TrainingError: there is none, or it belongs to another run.
            FileError: it is damaged; an older one is taken only when the user has deleted it.
        """
        newest = self.newest
        if newest is None:
            raise TrainingError(
                f"--resume: no checkpoint in {self._folder}. "
                "Run without --resume to start at step 0."
            )
        try:
            state = load_checkpoint(newest, self._identity, self._tower, self._optimizer)
        except FileError as error:
            raise FileError(f"{error} {self._without(newest)}") from error
        self._selection.best = state.best
        if state.scaler and self._scaler:
            self._scaler.load_state_dict(state.scaler)
        return state.step

    def _without(self, damaged: Path) -> str:
        """What to do about a checkpoint that is damaged."""
        assert self._folder is not None
        others = [path for path in list_checkpoints(self._folder) if path != damaged]
        if others:
            return f"Delete {damaged} and resume again: the run goes on from {others[-1].name}."
        return "It is the only one: start anew with --overwrite instead of --resume."
