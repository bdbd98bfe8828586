"""Accelerate, set up for one run and put away after it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from rtd_adapters.compute.devices import require_device
from rtd_adapters.compute.processes import launched
from rtd_adapters.errors import TrainingError


@contextmanager
def accelerator_on(device: str | None, **settings: Any) -> Iterator[Accelerator]:
    """The run's device and processes.

    Args:
        device: cpu, cuda or mps; accelerate's choice by default.
        settings: of `Accelerator`.

    Raises:
        UsageError: this machine has no such device.
        TrainingError: the processes that were started did not come together.
    """
    require_device(device)
    accelerator = _joined(device, settings)
    try:
        _require_joined(accelerator.num_processes)
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


def _joined(device: str | None, settings: dict[str, Any]) -> Accelerator:
    several = launched().count > 1
    # Without a GPU, accelerate joins processes only if it is told of the CPU.
    on_cpu = device == "cpu" or (several and not torch.cuda.is_available())
    with _signals_end_at_once(several):
        return Accelerator(cpu=on_cpu, **settings)


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
