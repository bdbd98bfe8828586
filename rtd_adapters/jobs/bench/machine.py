"""The machine that a step is timed on."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rtd_adapters.clip.onednn import product

MATMUL_SIZE = 2048
REPEATS = 5


def this_machine() -> dict[str, Any]:
    """What the figures depend on: processor, threads, PyTorch and the fp32 matmul peak."""
    return {
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "matmul_gflops": round(matmul_gflops(), 1),
    }


def load() -> float | None:
    """How many processes wanted a core, on average over the last minute; None where the system
    does not say."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def matmul_gflops() -> float:
    """This machine's fp32 matrix product, in 10^9 operations a second; the best of ten.

    PyTorch's own choice of library and oneDNN take turns.
    """
    a, b = (torch.randn(MATMUL_SIZE, MATMUL_SIZE) for _ in "ab")
    libraries: list[Callable[[Tensor, Tensor], Tensor]] = [torch.mm, product]
    best = min(_seconds(multiply, a, b) for multiply in libraries * REPEATS)
    return 2 * MATMUL_SIZE**3 / best / 1e9


def _seconds(multiply: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> float:
    started = time.perf_counter()
    multiply(a, b)
    return time.perf_counter() - started


def processor() -> str:
    """Name and vector width of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    width = torch.backends.cpu.get_cpu_capability()
    return f"{names[0] if names else platform.machine()} ({width})"
