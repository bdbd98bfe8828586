"""What a path is: one of the repositories, one of their checkpoints, or a patch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rtd_adapters.doctor.checkouts import recognise_checkout
from rtd_adapters.doctor.files import recognise_file
from rtd_adapters.errors import FileError, UsageError


@dataclass(frozen=True)
class Diagnosis:
    """What was found, and what follows from it."""

    path: str
    found: str
    """What it is, in a line."""
    method: str | None = None
    """The method that fits, for `--method`."""
    layout: str | None = None
    """How it names a text tower's tensors."""
    commands: tuple[str, ...] = ()
    """What to type, the first choice first."""
    traps: tuple[str, ...] = field(default=())
    """What goes wrong with it, here and now."""


def examine(path: Path) -> Diagnosis:
    """Recognise a checkout, a checkpoint or a transformers folder; nothing in it is run.

    Raises:
        FileError: there is nothing, or it cannot be read.
        UsageError: it is none of the things rtd knows; the message lists them.
    """
    if not path.exists():
        raise FileError(f"{path} does not exist. Name a checkout's folder or a checkpoint file.")
    if path.is_file():
        kind = recognise_file(path)
        return Diagnosis(str(path), kind.found, kind.method, kind.layout, kind.commands, kind.traps)
    if (path / "config.json").is_file():
        return Diagnosis(
            str(path),
            "a transformers model folder",
            None,
            "hf",
            (f"rtd patch --method lincir --backbone {path} --projection phi.pt ...",),
        )
    repository = recognise_checkout(path)
    if repository is None:
        raise UsageError(
            f"{path} is none of the checkouts rtd knows: SEARLE, composed_image_retrieval "
            "(Pic2Word), lincir, context-i2w, FTI4CIR, RTD. Name a checkout's top folder."
        )
    return Diagnosis(
        str(path),
        f"a checkout of {repository.url}",
        repository.method,
        repository.layout,
        repository.commands,
        (*repository.missing_points(path), *repository.traps()),
    )
