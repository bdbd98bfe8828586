"""The processes of one run, each with its share of every batch."""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from rtd_adapters.compute.buckets import sum_gradients
from rtd_adapters.errors import INTERRUPTED, TrainingError, UsageError

TURN = 2e-4
"""Seconds between two looks at what other processes are to bring."""


@dataclass(frozen=True)
class Processes:
    """This process's place among those of the run."""

    rank: int = 0
    count: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this one writes."""
        return self.rank == 0

    def share(self, length: int) -> slice:
        """This process's part of `length` things; the last parts may be shorter, or empty."""
        size = self._share_size(length)
        return slice(min(self.rank * size, length), min((self.rank + 1) * size, length))

    def gather(self, mine: Tensor, length: int) -> Tensor:
        """[length, ...] from every process's share of it, without gradient.

        Raises:
            TrainingError: another process has ended.
        """
        if self.count == 1:
            return mine.detach()
        padded = mine.new_zeros(self._share_size(length), *mine.shape[1:])
        padded[: len(mine)] = mine.detach()
        parts = [torch.empty_like(padded) for _ in range(self.count)]
        with _told_of_ends():
            _await(dist.all_gather(parts, padded, async_op=True), padded)
        return torch.cat(parts)[:length]

    def from_first(self, tensor: Tensor) -> Tensor:
        """The first process's tensor; those of the others, of the same form, are written over.

        Raises:
            TrainingError: another process has ended.
        """
        if self.count > 1:
            with _told_of_ends():
                work = dist.broadcast(tensor, 0, async_op=True)
                if work:
                    _await(work, tensor)
        return tensor

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Add up every parameter's gradient over all processes, all in one call (`buckets`).

        Raises:
            TrainingError: another process has ended.
        """
        if self.count == 1:
            return
        with _told_of_ends():
            sum_gradients(parameters, _sum, _largest)

    def total(self, value: Tensor) -> Tensor:
        """The sum of a scalar over all processes, without gradient."""
        return self.gather(value.detach()[None], self.count).sum()

    def _share_size(self, length: int) -> int:
        return -(-length // self.count)


def _sum(tensor: Tensor) -> Tensor:
    _await(dist.all_reduce(tensor, async_op=True), tensor)
    return tensor


def _largest(tensor: Tensor) -> Tensor:
    _await(dist.all_reduce(tensor, dist.ReduceOp.MAX, async_op=True), tensor)
    return tensor


def _await(work: dist.Work, tensor: Tensor) -> None:
    """Wait for all processes, in turns: inside gloo's own wait Python hears no signal, so that a
    run whose peer is gone without a word would be deaf to Ctrl-C."""
    try:
        while tensor.device.type == "cpu" and not work.is_completed():
            time.sleep(TURN)
    except Exception:
        raise
    except BaseException as error:  # Ctrl-C, or a signal that ends the run
        atexit.register(_end, getattr(error, "exit_code", INTERRUPTED))
        raise
    work.wait()


def _end(code: int) -> None:
    """End this process as it is: taking gloo down waits for the silent peer under older torch (2.5
    and 2.6 do; 2.14 does not)."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def launched() -> Processes:
    """Those that torchrun or `accelerate launch` started; known before anything is set up.

    Raises:
        UsageError: what the environment says of them is no number, or contradicts itself.
    """
    rank, count = _of_environment("RANK", 0), _of_environment("WORLD_SIZE", 1)
    if not 0 <= rank < count:
        raise UsageError(
            f"RANK is {rank} and WORLD_SIZE {count}; ranks run from 0 to WORLD_SIZE - 1. "
            "Let torchrun set both, or unset them."
        )
    return Processes(rank, count)


def _of_environment(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(
            f"{name} is {text!r}, which is no whole number. Let torchrun set it, or unset it."
        ) from error


@contextmanager
def _told_of_ends() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(
            f"another process of this run has ended ({str(error).splitlines()[0][:120]}). "
            "Look at its own message; then start all again, a training run with --resume."
        ) from error
