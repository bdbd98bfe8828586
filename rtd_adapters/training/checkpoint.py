"""One checkpoint: everything a killed run needs to go on to the same result, and no pickle.

Batches and noise are functions of seed and step, so a checkpoint holds no random state: only the
trained tensors, the optimiser's moments, the best tower so far, and a small JSON record.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rtd_adapters.errors import FileError, TrainingError, first_line
from rtd_adapters.io.atomic import whole_folder
from rtd_adapters.io.hashes import file_sha256
from rtd_adapters.io.json_files import read_json
from rtd_adapters.training.parameters import trained_tensors
from rtd_adapters.training.selection import BestTower

RECORD = "state.json"
MODEL = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
BEST = "best.safetensors"
FILES = (MODEL, OPTIMIZER, BEST)
SEAL = "sha256"
"""Of the rest of the record, in which the files' own stand."""


@dataclass(frozen=True)
class RunState:
    """What stands in a checkpoint beside what is trained."""

    step: int
    run: dict[str, Any]
    """What identifies the run; resuming needs it equal."""
    scaler: dict[str, Any]
    """State of the fp16 gradient scaler; empty in other precisions."""
    best: BestTower | None
    """None where no validation has picked one."""


def save_checkpoint(
    path: Path, state: RunState, model: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Write a checkpoint's folder, whole or not at all.

    Raises:
        FileError: the disk refuses.
    """
    trained = trained_tensors(model)
    tensors = {name: parameter.detach().contiguous() for name, parameter in trained.items()}
    with whole_folder(path) as temporary:
        save_file(tensors, temporary / MODEL)
        save_file(_moments(optimizer, trained), temporary / OPTIMIZER)
        if state.best is not None:
            save_file(state.best.tensors, temporary / BEST)
        record = _record(state) | {"files": _hashes(temporary)}
        record[SEAL] = _seal(record)
        (temporary / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")


def load_checkpoint(
    path: Path, run: dict[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer
) -> RunState:
    """Fill model and optimiser from a checkpoint of the same run.

    Raises:
        FileError: the checkpoint is damaged: a bit of it is not as it was written.
        TrainingError: it belongs to a run with other settings; the differences are listed.
    """
    try:
        record = _read_record(path)
        tensors = load_file(path / MODEL)
        moments = load_file(path / OPTIMIZER)
        best = record["best"] and BestTower(**record["best"], tensors=load_file(path / BEST))
        state = RunState(record["step"], record["run"], record["scaler"], best or None)
    except Exception as error:
        raise FileError(f"checkpoint {path} is damaged: {first_line(error)}") from error
    _require_same_run(path, state.run, run)
    trained = trained_tensors(model)
    if trained.keys() != tensors.keys():
        raise TrainingError(f"checkpoint {path} holds other tensors than this run trains.")
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(tensors[name])
    _fill_moments(optimizer, moments, trained)
    return state


def _record(state: RunState) -> dict[str, Any]:
    best = state.best
    return {
        "step": state.step,
        "run": state.run,
        "scaler": state.scaler,
        "best": {"step": best.step, "metric": best.metric, "value": best.value} if best else {},
    }


def _read_record(path: Path) -> dict[str, Any]:
    """A checkpoint's record, which and whose files are as they were written.

    Raises:
        FileError: something is not.
    """
    record = read_json(path / RECORD)
    seal = record.pop(SEAL, None)
    if seal != _seal(record):
        raise FileError(f"{RECORD} is not as it was written.")
    changed = [name for name, kept in record["files"].items() if file_sha256(path / name) != kept]
    if changed:
        raise FileError(f"{', '.join(changed)} is not as it was written.")
    return record


def _hashes(folder: Path) -> dict[str, str]:
    return {name: file_sha256(folder / name) for name in FILES if (folder / name).exists()}


def _seal(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _moments(
    optimizer: torch.optim.Optimizer, trained: dict[str, nn.Parameter]
) -> dict[str, Tensor]:
    """The optimiser's tensors, under PARAMETER/MOMENT."""
    names = {id(parameter): name for name, parameter in trained.items()}
    return {
        f"{names[id(parameter)]}/{moment}": value.detach().contiguous()
        for parameter, state in optimizer.state.items()
        for moment, value in state.items()
    }


def _fill_moments(
    optimizer: torch.optim.Optimizer,
    moments: dict[str, Tensor],
    trained: dict[str, nn.Parameter],
) -> None:
    groups = optimizer.param_groups
    fused = {id(p) for group in groups if group.get("fused") for p in group["params"]}
    for key, value in moments.items():
        name, _, moment = key.rpartition("/")
        parameter = trained[name]
        # AdamW keeps its moments beside the parameter, and its step counter if it is fused.
        beside = moment != "step" or id(parameter) in fused
        placed = value.to(parameter.device) if beside else value
        optimizer.state[parameter][moment] = placed


def _require_same_run(path: Path, stored: dict[str, Any], run: dict[str, Any]) -> None:
    run = json.loads(json.dumps(run))
    different = [key for key in sorted({*stored, *run}) if stored.get(key) != run.get(key)]
    if different:
        listed = "; ".join(
            f"{key}: {stored.get(key)!r} there, {run.get(key)!r} here" for key in different
        )
        raise TrainingError(
            f"checkpoint {path} belongs to another run ({listed}). "
            "Repeat the first command with --resume, or start anew with --overwrite."
        )
