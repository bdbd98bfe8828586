"""How much memory this process takes."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

import psutil


def resident_mb() -> float:
    """Memory in use now, in MB."""
    return psutil.Process().memory_info().rss / 1e6


def peak_mb() -> float:
    """The most memory that was in use since the program started, in MB."""
    if sys.platform == "linux":
        # Not getrusage: its peak is inherited from the process that started this program.
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        if line := re.search(r"VmHWM:\s+(\d+) kB", status):
            return int(line[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def device_peak_mb() -> float:
    """Peak memory in MB: of the GPU where one was used, of this process otherwise."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    return peak_mb()
