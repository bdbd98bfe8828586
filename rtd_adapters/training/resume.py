"""Checkpoints of a run: everything a killed run needs to go on to the same result, and no pickle.

Batches and noise are functions of seed and step, so a checkpoint holds no random state: only the
trained tensors, the optimiser's moments, and a small JSON record.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rtd_adapters.errors import FileError, TrainingError
from rtd_adapters.io.atomic import whole_folder

KEPT = 2
PREFIX = "step-"
BEST = "best.safetensors"


@dataclass(frozen=True)
class RunState:
    """What stands in a checkpoint beside the tensors."""

    step: int
    run: dict[str, Any]
    """What identifies the run; resuming needs it equal."""
    scaler: dict[str, Any]
    """State of the fp16 gradient scaler; empty in other precisions."""
    best: dict[str, Any]
    """Step and value of the best validation so far; empty without one."""


def trained_tensors(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that take gradients, by name."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def save_checkpoint(
    folder: Path,
    state: RunState,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    best: dict[str, Tensor] | None,
) -> Path:
    """Write `folder/step-N` whole or not at all, then drop all but the newest checkpoints."""
    path = folder / f"{PREFIX}{state.step:09d}"
    trained = trained_tensors(model)
    names = {id(parameter): name for name, parameter in trained.items()}
    with whole_folder(path) as temporary:
        save_file(
            {n: p.detach().contiguous() for n, p in trained.items()},
            temporary / "model.safetensors",
        )
        save_file(_moments(optimizer, names), temporary / "optimizer.safetensors")
        if best is not None:
            save_file(best, temporary / BEST)
        record = {"step": state.step, "run": state.run, "scaler": state.scaler, "best": state.best}
        (temporary / "state.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    for old in list_checkpoints(folder)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return path


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first. A half-written one never bears this name."""
    return sorted(folder.glob(f"{PREFIX}*")) if folder.is_dir() else []


def load_checkpoint(
    path: Path, run: dict[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[RunState, dict[str, Tensor] | None]:
    """Fill model and optimiser from a checkpoint of the same run.

    Returns:
        The record, and the best tower's tensors if validation had picked one.

    Raises:
        FileError: the checkpoint is damaged.
        TrainingError: it belongs to a run with other settings; the differences are listed.
    """
    try:
        record = json.loads((path / "state.json").read_text(encoding="utf-8"))
        tensors = load_file(path / "model.safetensors")
        moments = load_file(path / "optimizer.safetensors")
        best = load_file(path / BEST) if (path / BEST).exists() else None
    except Exception as error:
        raise FileError(
            f"checkpoint {path} is damaged: {error}. Delete it and resume again."
        ) from error
    _require_same_run(path, record["run"], run)
    trained = trained_tensors(model)
    if trained.keys() != tensors.keys():
        raise TrainingError(f"checkpoint {path} holds other tensors than this run trains.")
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(tensors[name])
            for key, value in moments.items():
                owner, _, moment = key.rpartition("/")
                if owner == name:
                    optimizer.state[parameter][moment] = _placed(moment, value, parameter)
    return RunState(record["step"], record["run"], record["scaler"], record["best"]), best


def _moments(optimizer: torch.optim.Optimizer, names: dict[int, str]) -> dict[str, Tensor]:
    return {
        f"{names[id(parameter)]}/{moment}": value.detach().contiguous()
        for parameter, state in optimizer.state.items()
        for moment, value in state.items()
    }


def _placed(moment: str, value: Tensor, parameter: Tensor) -> Tensor:
    """AdamW keeps its step counter on the CPU and its moments beside the parameter."""
    return value if moment == "step" else value.to(parameter.device)


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
