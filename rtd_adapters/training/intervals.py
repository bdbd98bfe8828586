"""When the next checkpoint is due."""

from __future__ import annotations

import time

from rtd_adapters.training.options import RunOptions

LARGEST_SHARE = 1 / 20
"""Of a run's time, for checkpoints that are written by time."""


class CheckpointIntervals:
    """Says after each step whether to write a checkpoint: by steps, by time, or by whichever comes
    first.

    Those by time wait longer where writing takes long, so that it stays a small part of the run.

    Args:
        options: of the run.
    """

    def __init__(self, options: RunOptions) -> None:
        self._steps, self._seconds = options.checkpoint_every, 60 * options.checkpoint_minutes
        self._last, self._writing = time.monotonic(), 0.0

    def is_due(self, step: int) -> bool:
        """Whether to write one after this step."""
        if self._steps and step % self._steps == 0:
            return True
        wait = max(self._seconds, self._writing / LARGEST_SHARE)
        return bool(self._seconds) and time.monotonic() - self._last >= wait

    def begin(self) -> None:
        """One is being written."""
        self._last = time.monotonic()

    def end(self) -> None:
        """It is written."""
        now = time.monotonic()
        self._writing, self._last = now - self._last, now
