"""Reads other people's checkpoint files without running what is in them."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtd_adapters.errors import FileError, first_line

if TYPE_CHECKING:
    from torch import Tensor

FETCH_AGAIN = "Fetch or write it again."


def read_safetensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a safetensors file, on the CPU, and its metadata.

    Raises:
        FileError: the file is missing, empty, truncated or no safetensors file.
    """
    with _opened(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, file.metadata() or {}


def read_header(path: str | Path) -> tuple[dict[str, tuple[str, list[int]]], dict[str, str]]:
    """Name -> (dtype, shape) and metadata of a safetensors file; no tensor is read.

    Raises:
        FileError: as `read_safetensors`.
    """
    with _opened(path, "np") as file:  # torch would map the whole file, to write to it
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        shapes = {name: (part.get_dtype(), part.get_shape()) for name, part in slices.items()}
        return shapes, file.metadata() or {}


@contextmanager
def _opened(path: str | Path, framework: str) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    path = _require_content(path)
    try:
        with safe_open(path, framework=framework, device="cpu") as file:
            yield file
    except (SafetensorError, OSError, ValueError) as error:
        raise FileError(
            f"{path} is not a complete safetensors file ({first_line(error)}). {FETCH_AGAIN}"
        ) from error


def read_checkpoint(path: str | Path, *, allow_torchscript: bool = False) -> object:
    """What a checkpoint file holds, on the CPU: .safetensors, or .pt, .pth or .bin of torch.

    Args:
        path: the file. But for the ending .safetensors, its content decides how it is read.
        allow_torchscript: read a TorchScript archive (OpenAI's own ViT-B-32.pt is one) for its
            tensors. `torch.jit.load` then unpacks the archive's code: only for files you trust.

    Returns:
        A dict of tensors for safetensors and TorchScript, otherwise what was saved.

    Raises:
        FileError: the file is missing, empty, truncated, no checkpoint, or needs a pickle that
            could run code; nothing of it was run.
    """
    path = _require_content(path)
    start = _first_bytes(path)
    if path.suffix == ".safetensors" or start[8:9] == b"{":
        return read_safetensors(path)[0]
    if is_archive(path):
        return _read_archive(path, allow_torchscript=allow_torchscript)
    if start[:1] == b"\x80":
        return load_tensors(path, mmap=False)
    raise FileError(
        f"{path} is no checkpoint: it starts with {start!r}, so it is neither safetensors nor "
        f"a file of torch.save. {FETCH_AGAIN}"
    )


def _read_archive(path: Path, *, allow_torchscript: bool) -> object:
    import torch

    names = archive_names(path)
    if not any(name.endswith("/constants.pkl") for name in names):
        return load_tensors(path, mmap=True)
    if not allow_torchscript:
        raise FileError(
            f"{path} is a TorchScript archive, which holds code beside the tensors. If you trust "
            "where it comes from, pass allow_torchscript=True, or save its state_dict() first."
        )
    try:
        return dict(torch.jit.load(str(path), map_location="cpu").state_dict())
    except RuntimeError as error:
        raise FileError(
            f"{path} does not load as TorchScript ({first_line(error)}). {FETCH_AGAIN}"
        ) from error


def is_archive(path: Path) -> bool:
    """Whether a file begins as zip archives do, whole or damaged.

    Raises:
        FileError: it cannot be read.
    """
    return _first_bytes(path)[:2] == b"PK"


def archive_names(path: Path) -> list[str]:
    """The entries of a zip archive as torch writes it.

    Raises:
        FileError: it is damaged, or would unpack to more than lies on disk: torch compresses
            nothing, so a file that does so was not made by it and may fill any memory.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise FileError(f"{path} is truncated or damaged ({error}). {FETCH_AGAIN}") from error
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > path.stat().st_size:
        raise FileError(
            f"{path} would unpack to {unpacked:,} bytes, more than it has on disk, as no file of "
            f"torch.save does. {FETCH_AGAIN}"
        )
    return [entry.filename for entry in entries]


def load_tensors(path: Path, *, mmap: bool = False) -> object:
    """What `torch.save` wrote, if it is made of tensors and plain values.

    Raises:
        FileError: the file is missing or damaged, or needs more than that.
    """
    import torch

    _require_content(path)

    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        raise FileError(
            f"{path} is damaged, or holds more than tensors and plain values, and reading those "
            "could run code hidden in the file. Ask for a safetensors file; or, if you trust it, "
            "load it once with torch.load(..., weights_only=False) and save its state_dict(). "
            f"(torch: {_reason(error)})"
        ) from error
    except Exception as error:  # on damaged bytes torch's unpickler fails with anything there is
        raise FileError(
            f"{path} is truncated or damaged ({first_line(error)}). {FETCH_AGAIN}"
        ) from error


def _require_content(path: str | Path) -> Path:
    path = Path(path)
    try:
        is_folder, is_other = path.is_dir(), path.exists() and not path.is_file()
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}. Check the path.") from error
    if is_folder:
        raise FileError(f"{path} is a folder. Name the checkpoint file inside it.")
    if is_other:
        raise FileError(f"{path} is no ordinary file but a device or a pipe. Name a file.")
    if not _first_bytes(path):
        raise FileError(f"{path} is empty. {FETCH_AGAIN}")
    return path


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(24)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}. Check the path.") from error


def _reason(error: Exception) -> str:
    """The line in which torch names what it refused."""
    named = (line for line in str(error).splitlines() if "WeightsUnpickler error" in line)
    return next(named, first_line(error)).strip()
