"""How much memory this process takes, and how much there is for others."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

import psutil

CGROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    (
        "/sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)
"""Where a container's limit stands, in the newer and the older kind: a folder, the files of the
limit and of what is taken, and the name of what the system gives back of that."""
CUDA_MB = 600.0
"""What CUDA itself takes of a GPU for each process, which torch does not count."""


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
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def device_peak_mb() -> float:
    """Peak memory in MB: of the GPU where one was used, of this process otherwise."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    return peak_mb()


def device_need_mb() -> float:
    """The most memory in MB of one GPU that this process took, with what CUDA needs beside it."""
    import torch

    return torch.cuda.max_memory_reserved() / 1e6 + CUDA_MB


def free_mb() -> float:
    """Memory in MB that may still be taken, within a container's limit too."""
    free = [psutil.virtual_memory().available]
    for folder, *names in CGROUPS:
        if (Path(folder) / names[0]).is_file():
            free.append(_free_in_container(Path(folder), *names))
    return max(0, min(free)) / 1e6


def _free_in_container(folder: Path, limit: str, taken: str, given_back: str) -> float:
    """Bytes; infinity where no limit is set."""
    texts = [(folder / name).read_text(encoding="ascii") for name in (limit, taken, "memory.stat")]
    most = math.inf if texts[0].strip() == "max" else int(texts[0])
    cached = re.search(rf"^{given_back} (\d+)$", texts[2], re.MULTILINE)
    return most - int(texts[1]) + (int(cached[1]) if cached else 0)


def free_devices_mb() -> tuple[float, ...]:
    """Memory in MB that each visible GPU has free, once this process needs none of its own."""
    import torch

    torch.cuda.empty_cache()
    return tuple(torch.cuda.mem_get_info(n)[0] / 1e6 for n in range(torch.cuda.device_count()))
