"""Reads weight files without running anything in them."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from rtd_adapters.errors import FileError


def read_safetensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises:
        FileError: the file is missing, empty, truncated, or of another kind.
    """
    path = _existing(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, "safetensors file", error) from error


def read_header(path: str | Path) -> tuple[dict[str, tuple[str, list[int]]], dict[str, str]]:
    """Name -> (dtype, shape) and metadata of a safetensors file; no tensor is read.

    Raises:
        FileError: as `read_safetensors`.
    """
    path = _existing(path)
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            shapes = {name: (part.get_dtype(), part.get_shape()) for name, part in slices.items()}
            return shapes, file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, "safetensors file", error) from error


def read_checkpoint(path: str | Path) -> Any:
    """The content of a .safetensors file, or of a .pt, .pth or .bin file of tensors.

    Pickles are read with `weights_only=True`: tensors, numbers, strings and containers pass,
    anything that would run code is refused. Tensors arrive on the CPU.

    Raises:
        FileError: the file is missing, empty, truncated, no checkpoint, or needs more than that.
    """
    path = _existing(path)
    if path.suffix == ".safetensors":
        return read_safetensors(path)[0]
    if _is_torchscript(path):
        raise FileError(
            f"{path} is a TorchScript archive, not a checkpoint of tensors. Save its state_dict() "
            "with torch.save and pass that file."
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" not in str(error) and "Unsupported" not in str(error):
            raise _damaged(path, "checkpoint", error) from error
        raise FileError(
            f"{path} holds pickled objects beside its tensors ({_first_line(error)}), and reading "
            "those could run code. Save its tensors alone with torch.save(model.state_dict(), ...) "
            "and pass that file."
        ) from error
    except Exception as error:
        raise _damaged(path, "checkpoint", error) from error


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.exists():
        raise FileError(f"{path} does not exist. Check the path.")
    if path.is_dir():
        raise FileError(f"{path} is a folder, not a weights file.")
    if path.stat().st_size == 0:
        raise FileError(f"{path} is empty. Fetch it again.")
    return path


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _damaged(path: Path, kind: str, error: Exception) -> FileError:
    return FileError(
        f"{path} is not a readable {kind} ({_first_line(error)}). It may be truncated or of "
        "another kind; fetch it again."
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
