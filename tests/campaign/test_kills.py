"""A small campaign; `python -m tests.campaign.kills` runs a long one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_killed_runs_go_on_to_the_bytes_of_undisturbed_ones():
    """In a process of its own, which forks before it has threads."""
    command = [sys.executable, "-m", "tests.campaign.kills", "--count", "8", "--seed", "1"]
    command += ["--job", "patch", "rules", "export", "sweep"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SIGKILL" in done.stdout
    assert "SIGTERM" in done.stdout
