"""One job of the campaign; `python -m tests.campaign.disks` runs them all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.campaign.obstacles import Disk


def can_mount(folder):
    disk = Disk(folder)
    try:
        disk.mount()
    except (OSError, subprocess.CalledProcessError):
        return False
    disk.unmount()
    return True


@pytest.mark.slow
def test_an_export_meets_every_obstacle_without_loss(tmp_path):
    """In a process of its own, which forks before it has threads."""
    if not can_mount(tmp_path / "disk"):
        pytest.skip("only root mounts disks")
    command = [sys.executable, "-m", "tests.campaign.disks", "--job", "export"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "room for 40%: 1" in done.stdout
    assert "faults                                   0" in done.stdout
