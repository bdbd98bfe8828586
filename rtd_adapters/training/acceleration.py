"""Accelerate, set up for one run and put away after it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from rtd_adapters.errors import TrainingError, UsageError
from rtd_adapters.training.options import RunOptions
from rtd_adapters.training.processes import launched
from rtd_adapters.training.settings import TrainingSettings
from rtd_adapters.training.trackers import require_tracker


@contextmanager
def accelerated(settings: TrainingSettings, options: RunOptions) -> Iterator[Accelerator]:
    """The run's device, precision, processes and tracker.

    Raises:
        TrainingError: the processes that were started did not come together.
        UsageError: the settings do not allow for several processes, or the tracker cannot be used.
    """
    if options.tracker:
        require_tracker(options.tracker, options.folder)
    accelerator = _accelerator(settings, options)
    try:
        _require_joined(accelerator.num_processes)
        _require_even_shares(settings, accelerator.num_processes)
        if options.tracker:
            config = {k: v for k, v in settings.to_dict().items() if v is not None}
            accelerator.init_trackers("rtd", config=config)
        yield accelerator
    except BaseException as error:
        if isinstance(error, Exception) or accelerator.num_processes == 1:
            accelerator.end_training()
        raise  # one of several that is interrupted does not wait for the others once more
    else:
        accelerator.end_training()
    finally:
        # accelerate remembers device and precision for the life of the process otherwise.
        AcceleratorState._reset_state(reset_partial_state=accelerator.num_processes == 1)


def _accelerator(settings: TrainingSettings, options: RunOptions) -> Accelerator:
    several = launched().count > 1
    with _signals_end_at_once(several):
        return Accelerator(
            mixed_precision=settings.mixed_precision,
            # Without a GPU, accelerate joins processes only if it is told of the CPU.
            cpu=options.device == "cpu" or (several and not torch.cuda.is_available()),
            gradient_accumulation_steps=settings.gradient_accumulation,
            log_with=options.tracker,
            project_dir=options.folder,
        )


@contextmanager
def _signals_end_at_once(waiting: bool) -> Iterator[None]:
    """While processes come together: torch's wait for the others hears no handler of Python's, and
    nothing is being written that would have to be tidied up."""
    if not waiting or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _require_joined(processes: int) -> None:
    if processes != launched().count:
        raise TrainingError(
            f"{launched().count} processes were started, but accelerate joined {processes}. "
            "Start them with torchrun or accelerate launch, or pass --device cpu."
        )


def _require_even_shares(settings: TrainingSettings, processes: int) -> None:
    if processes == 1:
        return
    if settings.engine == "reference":
        raise UsageError("the reference engine runs in one process. Use --engine fast.")
    if settings.batch_size % processes:
        raise UsageError(
            f"--batch-size {settings.batch_size} cannot be shared evenly among "
            f"{processes} processes. Choose a multiple."
        )
