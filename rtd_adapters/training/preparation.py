"""What a worker does for a batch: it draws, cleans, tokenizes and packs.

Which texts are packed together is the engine's to know. So the engine takes the step, in the
worker, with networks that have shapes and no weights: nothing is computed, but every pack is made
that the step will ask for. A pack that is missing, because a method looks at numbers to decide what
it says, is made in the step as if there were no worker.
"""

from __future__ import annotations

import copy
import warnings
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import TypeVar

import torch
from torch import Tensor, nn

from rtd_adapters.clip.text.tokenizer import Notes
from rtd_adapters.compute.ahead import Ahead
from rtd_adapters.compute.processes import Processes
from rtd_adapters.training.batches import TripletBatch, TripletStream
from rtd_adapters.training.fast_engine import FastEngine
from rtd_adapters.training.options import RunOptions
from rtd_adapters.training.packs import Packs
from rtd_adapters.training.settings import TrainingSettings
from rtd_adapters.training.step import StepContext, Towers

Module = TypeVar("Module", bound=nn.Module)
PATIENCE = 0.0
"""Seconds that a run's first batch waits for workers; without any, this process begins alone."""


@dataclass(frozen=True)
class Prepared:
    """A batch, and what the tokenizer noted on the way."""

    batch: TripletBatch
    notes: Notes


@dataclass(frozen=True)
class Preparation:
    """Prepares batches by their number, in a process of its own."""

    stream: TripletStream
    towers: Towers | None
    """Without weights (`hollow`); None where the engine packs nothing."""
    settings: TrainingSettings
    processes: Processes

    def __call__(self, number: int) -> Prepared:
        """The batch of that number."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are given where the notes are read
            batch = self.stream.batch(number)
            if self.towers is not None:
                batch = replace(batch, packs=Packs())
                # Whatever fails here fails in the step itself, or has no need to.
                with suppress(Exception):
                    self._engine.step(batch, _no_gradient)
        return Prepared(batch, self.stream.tokenizer.take_notes())

    @cached_property
    def _engine(self) -> _Rehearsal:
        assert self.towers is not None
        # Whose numbers nobody sees, in whatever precision.
        settings = replace(self.settings, noise_scale=0.0, frozen_precision="fp32")
        return _Rehearsal(self.towers, settings, StepContext(processes=self.processes))


class _Rehearsal(FastEngine):
    """A step up to its loss: all its packs have been asked for by then."""

    def _loss(self, anchors: Tensor, queries: Tensor, mine: slice) -> Tensor:
        raise _Over


class _Over(Exception):
    """The rehearsal is."""


@dataclass(frozen=True)
class Apart(Processes):
    """A process's place among those of a run, for shapes alone: nobody else is asked."""

    def gather(self, mine: Tensor, length: int) -> Tensor:
        """[length, ...] of nothing."""
        return mine.new_empty(length, *mine.shape[1:])


def batches_ahead(
    stream: TripletStream,
    towers: Towers,
    settings: TrainingSettings,
    options: RunOptions,
    context: StepContext,
) -> Ahead[TripletBatch]:
    """A run's batches by their number, prepared ahead by as many workers as the options say; to be
    closed."""
    device = towers.device

    def there() -> Preparation:
        processes = Apart(context.processes.rank, context.processes.count)
        empty = hollow_towers(towers) if settings.engine == "fast" else None
        return Preparation(stream, empty, settings, processes)

    def arrived(prepared: Prepared) -> TripletBatch:
        stream.tokenizer.add_notes(prepared.notes)
        packs = prepared.batch.packs
        return replace(prepared.batch, packs=None if packs is None else packs.to(device))

    end = settings.steps * settings.gradient_accumulation
    return Ahead(stream.batch, there, end, options.prefetch, arrived, PATIENCE)


def hollow_towers(towers: Towers) -> Towers:
    """Towers without weights. Student and frozen tower ask for the same packs."""
    frozen = hollow(towers.frozen)
    projection, image_head = hollow(towers.projection), hollow(towers.image_head)
    return Towers(towers.method, projection, frozen, frozen, towers.tokenizer, image_head)


def hollow(module: Module) -> Module:
    """A module of the same shapes on torch's meta device; no weight is copied on the way."""
    empty: dict[int, Tensor] = {}
    for tensor in chain(module.parameters(), module.buffers()):
        meta = torch.empty_like(tensor, device="meta")
        is_parameter = isinstance(tensor, nn.Parameter)
        empty[id(tensor)] = nn.Parameter(meta, requires_grad=False) if is_parameter else meta
    return copy.deepcopy(module, empty)


def _no_gradient(loss: Tensor) -> None:
    """Nothing is passed back."""
