"""Which half precisions this CPU computes in, and which it only emulates."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import torch

CPUINFO = Path("/proc/cpuinfo")
UNITS = {
    "bf16": {"avx512_bf16", "amx_bf16", "bf16"},
    "fp16": {"avx512_fp16", "amx_fp16", "asimdhp"},
}
"""What Linux calls the units that multiply in a precision, on x86 and on ARM."""
PROBES = {
    "bf16": ("_is_avx512_bf16_supported", "_is_amx_tile_supported"),
    "fp16": ("_is_amx_fp16_supported",),
}
"""torch's own questions, where there is no Linux to ask; none of them knows ARM."""


def emulated(precision: str) -> bool:
    """Whether a CPU's products in bf16 or fp16 are known to be emulated, many times slower than
    fp32. Other precisions never are."""
    if precision not in UNITS:
        return False
    features = _features()
    if features:
        return not features & UNITS[precision]
    on_x86 = torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2", "AVX512")
    found = [getattr(torch.cpu, name, None) for name in PROBES[precision]]
    return on_x86 and bool(found) and not any(probe and probe() for probe in found)


def emulation_note(options: Iterable[tuple[str, str]], device: torch.device) -> str | None:
    """What to say where a run asks a CPU for what it only emulates.

    Args:
        options: options of the run and the precisions that they ask for.
        device: of the run.
    """
    asked = [f"{name} {precision}" for name, precision in options if emulated(precision)]
    if device.type != "cpu" or not asked:
        return None
    return (
        f"note: this CPU has no units for {' and '.join(asked)} and emulates it, many times slower "
        "than fp32. Leave it out, or pass --dry-run, which says how long a run would take."
    )


@cache
def _features() -> frozenset[str]:
    """What Linux says that the processor can do; empty elsewhere."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    named = (line.partition(":") for line in lines)
    found = (words for name, _, words in named if name.strip() in ("flags", "Features"))
    return frozenset(next(found, "").split())
