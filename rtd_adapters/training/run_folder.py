"""What lies in a run's folder, told from what others put there: only rtd's own is deleted again."""

from __future__ import annotations

import json
import re
from pathlib import Path

from rtd_adapters.errors import FileError
from rtd_adapters.io.atomic import require_writable, sweep, whole_file
from rtd_adapters.io.manifest import NAME as MANIFEST
from rtd_adapters.io.options_file import remove_options, require_own_options
from rtd_adapters.training.checkpoint import FILES, RECORD
from rtd_adapters.training.metrics_file import MetricsFile

FINISHED = "finished.json"
"""Says that the run came to its end, and what it wrote."""
TAUGHT = re.compile(r"taught-\d{9,}\.safetensors")
"""Tokens of a batch of pictures, which a projection's training finds before its first step."""
CHECKPOINT = re.compile(r"step-\d{9,}")
HALF_WRITTEN = re.compile(r"\.(step-\d{9,})\..+")


def folder_beside(out: Path) -> Path:
    """Where the run that writes `out` keeps its checkpoints and metrics unless it is told."""
    return out.with_name(f"{out.name}.run")


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return folder / f"step-{step:09d}"


def taught_path(folder: Path, number: int) -> Path:
    """Where the tokens of a batch of pictures lie."""
    return folder / f"taught-{number:09d}.safetensors"


def taught_files(folder: Path) -> list[Path]:
    """Those that are there."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if TAUGHT.fullmatch(path.name))


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first. A half-written one never bears such a name."""
    return [path for path in _named_as_checkpoints(folder) if (path / RECORD).is_file()]


def has_checkpoint(folder: Path) -> bool:
    """Whether a run that was cut off left something to resume from."""
    return bool(list_checkpoints(folder) or taught_files(folder))


def is_finished(folder: Path) -> bool:
    """Whether the folder's run came to its end."""
    return (folder / FINISHED).is_file()


def mark_finished(folder: Path, out: Path) -> None:
    """Note that the folder's run came to its end and wrote `out`.

    Raises:
        FileError: the disk refuses.
    """
    with whole_file(folder / FINISHED) as temporary:
        temporary.write_text(json.dumps({"out": str(out)}), encoding="utf-8")


def require_free_run(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Check that no older run is in the way of one in this folder; nothing is changed.

    Raises:
        FileError: an older run is there that is neither gone on with nor replaced, the folder
            cannot be written, or its metrics.jsonl or rtd-options.yaml is not of rtd.
    """
    metrics = MetricsFile(folder)
    require_writable(metrics.path, overwrite=True)
    if not resume:
        metrics.require_ours()
    require_own_options(folder)
    if overwrite:
        return
    if is_finished(folder):
        raise FileError(
            f"{folder} holds a finished run ({FINISHED}). Name another --run-dir, or pass "
            "--overwrite to replace it."
        )
    if has_checkpoint(folder) and not resume:
        raise FileError(
            f"{folder} holds an unfinished run. "
            "Pass --resume to go on with it, or --overwrite to start anew."
        )


def begin_run(folder: Path, *, resume: bool) -> None:
    """Make a folder ready for a run: one that starts anew finds nothing of an older one.

    Raises:
        FileError: the folder's metrics.jsonl is not of rtd.
    """
    if resume:
        (folder / FINISHED).unlink(missing_ok=True)
    else:
        remove_run(folder)


def remove_run(folder: Path) -> None:
    """Delete what rtd wrote in a run's folder, and the folder if nothing else is in it.

    Raises:
        FileError: the folder's metrics.jsonl is not of rtd.
    """
    if not folder.is_dir():
        return
    (folder / FINISHED).unlink(missing_ok=True)
    MetricsFile(folder).remove()
    remove_options(folder)
    for path in taught_files(folder):
        path.unlink()
    for path in _named_as_checkpoints(folder):
        remove_checkpoint(path)
    for path in folder.iterdir():
        if left := HALF_WRITTEN.fullmatch(path.name):
            sweep(folder / left[1])
    _remove_if_empty(folder)


def keep_newest(folder: Path, count: int) -> None:
    """Delete all but the newest checkpoints, and what a killed run began to delete."""
    kept = list_checkpoints(folder)[-count:]
    for path in _named_as_checkpoints(folder):
        if path not in kept:
            remove_checkpoint(path)


def remove_checkpoint(path: Path) -> None:
    """Delete a checkpoint's own files, or what is left of them.

    The record goes first, for without it a folder is no checkpoint, and the list of files last, for
    it shows that the rest is rtd's.
    """
    if (path / RECORD).is_file() or (path / MANIFEST).is_file():
        for name in (RECORD, *FILES, MANIFEST):
            (path / name).unlink(missing_ok=True)
    _remove_if_empty(path)


def _named_as_checkpoints(folder: Path) -> list[Path]:
    """Steps in order: a step of ten digits comes after all of nine."""
    if not folder.is_dir():
        return []
    found = [p for p in folder.iterdir() if CHECKPOINT.fullmatch(p.name) and _is_folder(p)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _remove_if_empty(folder: Path) -> None:
    if not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()
