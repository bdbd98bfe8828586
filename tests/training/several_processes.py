"""Starts the processes of a training run and waits for them; each is one_of_several.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from ranks import ranks
from safetensors.torch import save_file

SCRIPT = Path(__file__).with_name("one_of_several.py")
SETTINGS = {"steps": 4, "batch_size": 8, "learning_rate": 1e-3, "resume": False}


def write_inputs(tmp_path, toy_backbone, toy_projection, toy_triplets):
    """What the processes read."""
    save_file(toy_backbone.tower.state_dict(), tmp_path / "tower.safetensors")
    save_file(toy_projection.state_dict(), tmp_path / "projection.safetensors")
    rows = [(row.reference, row.conditioning, row.target) for row in toy_triplets]
    record = {"tower": toy_backbone.tower.config.to_dict(), "triplets": rows}
    (tmp_path / "inputs.json").write_text(json.dumps(record))
    return tmp_path


def start(folder, count, settings, *rest):
    """Start the processes of a run; rank r writes FOLDER/COUNT-r.safetensors."""
    started = []
    for rank, place in enumerate(ranks(count)):
        out = folder / f"{count}-{rank}.safetensors"
        command = [sys.executable, SCRIPT, folder, out, json.dumps(SETTINGS | settings), *rest]
        started.append(
            subprocess.Popen(
                [str(part) for part in command],
                env=os.environ | place,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return started


def finish(processes, seconds=120):
    """Exit code and standard error of each."""
    errors = [process.communicate(timeout=seconds)[1] for process in processes]
    return [process.returncode for process in processes], errors
