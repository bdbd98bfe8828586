"""Memory of a step, in a process of its own: python -m rtd_adapters.jobs.bench.memory CASE-JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict

from rtd_adapters.errors import TrainingError
from rtd_adapters.jobs.bench.cases import BenchCase
from rtd_adapters.jobs.bench.stepper import Stepper
from rtd_adapters.jobs.bench.texts import triplet_stream
from rtd_adapters.jobs.memory import peak_mb, resident_mb

STEPS = 2
"""Memory is at its height in the second, when the optimiser has its moments."""


def peak_memory(case: BenchCase) -> float:
    """Peak of a few steps in a fresh process, in MB above its base.

    Raises:
        TrainingError: the process failed.
    """
    command = [sys.executable, "-m", __name__, json.dumps(asdict(case))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise TrainingError(f"measuring {case.label} failed: {last}. Try a smaller --batch-size.")
    return float(done.stdout)


def _measure_here(case: BenchCase) -> float:
    stream = triplet_stream(case.batch_size)
    batches = [stream.batch(number) for number in range(STEPS)]
    base = resident_mb()  # not the peak: imports leave one that a small model would hide under
    stepper = Stepper(case, batches)
    for batch in batches:
        stepper.step(batch)
    return peak_mb() - base


if __name__ == "__main__":
    print(_measure_here(BenchCase(**json.loads(sys.argv[1]))))
