"""How many runs this machine takes at once: what one needs, what is free, and where each goes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from rtd_adapters.compute.at_once import Environment, at_once
from rtd_adapters.jobs.evaluate import EvalJob, load_evaluation
from rtd_adapters.jobs.inputs import PatchJob
from rtd_adapters.jobs.memory import device_need_mb, free_devices_mb, free_mb, peak_mb
from rtd_adapters.jobs.plan import plan_patch
from rtd_adapters.jobs.say import Say

MARGIN = 1.25
"""Times what a few steps took: batches differ in length, and figures are taken besides."""
DEVICES, THREADS = "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"

Example = tuple[PatchJob, Sequence[EvalJob]]
"""A run: what is learned, and the benchmarks that it is judged on."""


@dataclass(frozen=True)
class Need:
    """What one run takes at its height, in MB."""

    host: float
    device: float = 0.0
    """Of a GPU."""
    free: tuple[float, ...] = ()
    """What each GPU that is visible has free; empty where none is computed on."""


def slots(jobs: int, examples: Mapping[str, Example], say: Say) -> list[Environment]:
    """The environments of the processes that may run at once, as `at_once` takes them.

    Each example is measured first, in a process of its own, and the largest counts.

    Args:
        jobs: as many at most.
        examples: runs of each size that there is, by name.
        say: told how many it is, and why.

    Raises:
        RtdError: an input is missing, damaged, or does not fit another.
    """
    found: list[Need] = []
    for name, example in examples.items():
        say(f"{name}: measuring how much memory it takes")
        at_once(measured, {name: example}, [{}], lambda _, need: found.append(need), say)
    largest = Need(
        max(need.host for need in found), max(need.device for need in found), found[-1].free
    )
    return shared_out(jobs, largest, say)


def measured(example: Example, say: Say) -> Need:
    """What a run takes: for a process of its own, whose peak it is.

    Pictures are embedded and kept, so that no two runs do it at once, and a few steps trained.
    Nothing is written of the patch.

    Raises:
        RtdError: an input is missing, damaged, or does not fit another.
    """
    job, searches = example
    for searched in searches:
        load_evaluation(searched, "val", say)
    plan_patch(replace(job, overwrite=True), say)  # it may have been begun before
    if job.options.device in (None, "cuda") and torch.cuda.is_available():
        return Need(peak_mb(), device_need_mb(), free_devices_mb())
    return Need(peak_mb())


def shared_out(jobs: int, need: Need, say: Say) -> list[Environment]:
    """A GPU, or a share of one, for each process that may run, and threads that do not fight.

    Where `OMP_NUM_THREADS` is set, each process has as many.

    Args:
        jobs: as many at most.
        need: of each.
        say: told how many it is, and why.
    """
    each, free = MARGIN * need.host, free_mb()
    gpus = _gpus(jobs, need)
    count = max(1, min(jobs, int(free / each), len(gpus)))
    fewer = f", not {jobs}" if count < jobs else ""
    takes = f"{_gb(each)} of memory, of which {_gb(free)} are free"
    if need.free:
        there = ", ".join(map(_gb, need.free))
        takes += f", and {_gb(MARGIN * need.device)} of a GPU, of which {there} are"
    say(f"{count} at once{fewer}: each takes up to {takes}")
    threads = {}
    if THREADS not in os.environ:
        threads = {THREADS: str(max(1, torch.get_num_threads() // count))}
    return [{**gpu, **threads} for gpu in gpus[:count] or [{}]]


def _gpus(jobs: int, need: Need) -> Sequence[Environment]:
    """The GPU of each process, every GPU in its turn as long as its memory does."""
    if not need.free:
        return [{}] * jobs
    names = os.environ.get(DEVICES, ",".join(map(str, range(len(need.free))))).split(",")
    return [
        {DEVICES: name}
        for turn in range(1, jobs + 1)
        for name, free in zip(names, need.free, strict=False)
        if turn * MARGIN * need.device <= free
    ]


def _gb(megabytes: float) -> str:
    return f"{megabytes / 1000:.1f} GB"
