"""A case tried in a process of its own, which can be ended: python -m rtd_adapters.jobs.bench.probe
CASE-JSON prints what it takes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

from rtd_adapters.errors import TrainingError
from rtd_adapters.jobs.bench.cases import BenchCase
from rtd_adapters.jobs.bench.stepper import Stepper
from rtd_adapters.jobs.bench.texts import triplet_stream
from rtd_adapters.jobs.memory import peak_mb, resident_mb


@dataclass(frozen=True)
class Probe:
    """What a case takes."""

    peak_memory_mb: float
    """Of its process, above what it took before the towers were built."""
    operations: int
    """Floating-point operations of a step's matrix products."""
    setup_seconds: float
    """To build its towers."""
    seconds: float
    """Of its second step, at which memory is at its height: the optimiser has its moments."""


def probe(case: BenchCase, limit: float) -> Probe | None:
    """Two steps of a case in a fresh process; None where they took longer than `limit` seconds.

    Raises:
        TrainingError: the process failed.
    """
    command = [sys.executable, "-m", __name__, json.dumps(asdict(case))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise TrainingError(f"measuring {case.label} failed: {last}. Try a smaller --batch-size.")
    return Probe(**json.loads(done.stdout))


def _probe_here(case: BenchCase) -> Probe:
    stream = triplet_stream(case.batch_size)
    batches = [stream.batch(number) for number in range(2)]
    base = resident_mb()  # not the peak: imports leave one that a small model would hide under
    started = time.perf_counter()
    stepper = Stepper(case, batches)
    setup = time.perf_counter() - started
    operations = stepper.operations(batches[0])
    seconds = stepper.step(batches[1])
    return Probe(peak_mb() - base, operations, setup, seconds)


if __name__ == "__main__":
    print(json.dumps(asdict(_probe_here(BenchCase(**json.loads(sys.argv[1]))))))
