"""Accelerate as a training run wants it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from accelerate import Accelerator

from rtd_adapters.compute.acceleration import accelerator_on
from rtd_adapters.errors import UsageError
from rtd_adapters.training.options import RunOptions
from rtd_adapters.training.settings import Course
from rtd_adapters.training.trackers import require_tracker


@contextmanager
def accelerated(settings: Course, options: RunOptions) -> Iterator[Accelerator]:
    """The run's device, precision, processes and tracker.

    Raises:
        TrainingError: the processes that were started did not come together.
        UsageError: the processes cannot share a batch evenly, the tracker cannot be used, or this
            machine has no such device.
    """
    if options.tracker:
        require_tracker(options.tracker, options.folder)
    with accelerator_on(
        options.device,
        mixed_precision=settings.mixed_precision,
        gradient_accumulation_steps=settings.gradient_accumulation,
        log_with=options.tracker,
        project_dir=options.folder,
    ) as accelerator:
        _require_even_shares(settings, accelerator.num_processes)
        if options.tracker:
            config = {k: v for k, v in settings.to_dict().items() if v is not None}
            accelerator.init_trackers("rtd", config=config)
        yield accelerator


def _require_even_shares(settings: Course, processes: int) -> None:
    if settings.batch_size % processes:
        raise UsageError(
            f"--batch-size {settings.batch_size} cannot be shared evenly among "
            f"{processes} processes. Choose a multiple."
        )
