"""What shows a run and keeps what it was and did: progress bar, trackers, files of its folder."""

from __future__ import annotations

from pathlib import Path

from accelerate import Accelerator
from tqdm import tqdm

from rtd_adapters.io.options_file import keep_options
from rtd_adapters.training.callbacks import Callback, Metrics, RunView
from rtd_adapters.training.metrics_file import MetricsFile


class Progress(Callback):
    """The bar, in the first process, unless the options want none or nobody looks."""

    def begin(self, run: RunView) -> None:
        """Show it."""
        self._bar = tqdm(
            total=run.settings.steps,
            initial=run.first_step,
            disable=run.quiet or not run.is_main or None,
            desc=run.title,
            unit="step",
        )

    def validating(self, step: int) -> None:
        """Say why it stands still."""
        self._bar.set_postfix_str("validating")

    def step(self, step: int, metrics: Metrics) -> None:
        """Go on by one."""
        self._bar.update()
        self._bar.set_postfix(loss=f"{metrics['loss']:.3f}")

    def close(self) -> None:
        """Leave it as it stands."""
        self._bar.close()


class Trackers(Callback):
    """accelerate's, which log in the first process alone."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator

    def step(self, step: int, metrics: Metrics) -> None:
        """Log it."""
        self._accelerator.log(dict(metrics), step=step)


class MetricsLog(Callback):
    """The run folder's metrics.jsonl, which holds each step once."""

    def __init__(self, folder: Path) -> None:
        self._file = MetricsFile(folder)

    def begin(self, run: RunView) -> None:
        """Begin anew, or drop what will be run again."""
        if run.resumed:
            self._file.forget_after(run.first_step)
        else:
            self._file.remove()

    def step(self, step: int, metrics: Metrics) -> None:
        """Add its line."""
        self._file.append(step, dict(metrics))


class OptionsFile(Callback):
    """The run folder's rtd-options.yaml; a run that is refused before it begins leaves none.

    Args:
        options: YAML, as `keep_options` takes it.
    """

    def __init__(self, options: str) -> None:
        self._options = options

    def begin(self, run: RunView) -> None:
        """Keep them."""
        if run.is_main and run.folder:
            keep_options(run.folder, self._options)
