"""Resident and peak memory, against what a process really allocates."""

from __future__ import annotations

import subprocess
import sys

from rtd_adapters.jobs.memory import resident_mb

PROGRAM = """
from rtd_adapters.jobs.memory import peak_mb, resident_mb
base = resident_mb()
block = bytearray(b"x") * 100_000_000
held = resident_mb()
del block
print(held - base, resident_mb() - base, peak_mb() - base)
"""


def test_a_block_of_100_mb_is_seen_and_remembered():
    mine = bytearray(b"x") * 400_000_000  # a large parent must not count
    assert resident_mb() > 400
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    held, after, peak = map(float, done.stdout.split())
    assert 95 < held < 130
    assert after < 30
    assert 95 < peak < 130
    assert mine
