"""What a path is: one of the repositories, one of their checkpoints, or a patch."""

from __future__ import annotations

from pathlib import Path

from rtd_adapters.doctor.checkouts import recognise_checkout
from rtd_adapters.doctor.files import recognise_file
from rtd_adapters.doctor.finding import Finding, typed
from rtd_adapters.errors import FileError, UsageError


def examine(path: Path) -> Finding:
    """Recognise a checkout, a checkpoint or a transformers folder; nothing in it is run.

    Raises:
        FileError: there is nothing, or it cannot be read.
        UsageError: it is none of the things rtd knows; the message lists them.
    """
    try:
        exists = path.exists()
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}. Check the path.") from error
    if not exists:
        raise FileError(f"{path} does not exist. Name a checkout's folder or a checkpoint file.")
    if path.is_file():
        return recognise_file(path)
    if (path / "config.json").is_file():
        command = f"rtd patch --method lincir --backbone {typed(path)} --projection phi.pt ..."
        return Finding("a transformers model folder", layout="hf", commands=(command,))
    repository = recognise_checkout(path)
    if repository is None:
        raise UsageError(
            f"{path} is none of the checkouts rtd knows: SEARLE, composed_image_retrieval "
            "(Pic2Word), lincir, context-i2w, FTI4CIR, RTD. Name a checkout's top folder."
        )
    return Finding(
        f"a checkout of {repository.url}",
        repository.method,
        repository.layout,
        repository.commands,
        (*repository.missing_points(path), *repository.traps()),
    )
