"""One process of a training run; test_processes.py starts some of these.

Usage: one_of_several.py FOLDER OUT SETTINGS-JSON [DIE-AT-STEP]

What it writes says, beside what was learned, how many collectives each step took.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode

from rtd_adapters import (
    Backbone,
    BackboneShape,
    RtdError,
    RunOptions,
    TextEncoderPatch,
    TextTower,
    Trainer,
    TrainingSettings,
    get_method,
)
from rtd_adapters.clip.text import TowerConfig
from rtd_adapters.training import FastEngine, packed_texts, preparation
from rtd_adapters.triplets import Triplet

folder, out, settings, *rest = sys.argv[1:]
torch.set_num_threads(1)
given = Path(folder)
record = json.loads((given / "inputs.json").read_text())
tower = TextTower(TowerConfig.from_dict(record["tower"]))
tower.load_state_dict(load_file(given / "tower.safetensors"))
tower.eval().requires_grad_(False)
searle = get_method("searle")
backbone = Backbone("toy", "random", tower, BackboneShape(32, 64, 64), None, None)
projection = searle.build_projection(backbone.shape)
projection.load_state_dict(load_file(given / "projection.safetensors"))
projection.eval().requires_grad_(False)


class Collectives(TorchDispatchMode):
    """Counts what goes to other processes, whichever function of torch's it goes by."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.namespace == "c10d"
        return func(*args, **(kwargs or {}))


seen, until = Collectives(), []


class Watched(FastEngine):
    """Notes the collectives until each step, and kills its process at one."""

    def step(self, batch, backward):
        until.append(seen.count)
        if rest and len(until) == int(rest[0]) and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(batch, backward)


options = json.loads(settings)
kind = options.pop("kind", "full")
run = RunOptions(folder=given / "run", checkpoint_every=1, quiet=True, resume=options.pop("resume"))
patch = TextEncoderPatch.create(kind, backbone, searle)
trainer = Trainer(
    searle,
    projection,
    backbone,
    [Triplet(*row) for row in record["triplets"]],
    TrainingSettings(**options),
    run,
    Watched,
)
if workers := int(os.environ.get("PREFETCH", "0")):
    preparation.PATIENCE = 60.0
    trainer.options = replace(run, prefetch=workers)
    packed_texts._packed = None  # the workers make every pack
try:
    with seen:
        losses = torch.tensor(patch.fit(trainer).losses)
except RtdError as error:
    sys.exit(f"Error: {error}")
collectives = torch.tensor(until).diff()
save_file({**patch.state(), "losses": losses, "collectives": collectives}, out)
