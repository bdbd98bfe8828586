"""What a path is: one of the repositories, one of their checkpoints, or a patch."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from rtd_adapters.clip.transformers_models import KINDS
from rtd_adapters.clip.vocabularies import has_tokenizer
from rtd_adapters.doctor.checkouts import recognise_checkout
from rtd_adapters.doctor.files import recognise_file
from rtd_adapters.doctor.finding import Finding, typed
from rtd_adapters.errors import FileError, UsageError
from rtd_adapters.io.json_files import read_json

CONFIG = "config.json"
LARGEST_CONFIG = 1 << 20
"""Bytes; those of transformers have some thousand."""
NO_TOKENIZER = "it has no tokenizer: put tokenizer.json and tokenizer_config.json beside it."


def examine(path: Path) -> Finding:
    """Recognise a checkout, a checkpoint or a transformers folder; nothing in it is run.

    Raises:
        FileError: there is nothing, or it cannot be read.
        UsageError: it is none of the things rtd knows; the message lists them.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise FileError(
            f"{path} does not exist. Name a checkout's folder or a checkpoint file."
        ) from error
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}. Check the path.") from error
    if stat.S_ISREG(mode):
        return recognise_file(path)
    if not stat.S_ISDIR(mode):
        raise FileError(f"{path} is no ordinary file but a device or a pipe. Name a file.")
    return _folder(path)


def _folder(path: Path) -> Finding:
    if (path / CONFIG).is_file():
        return _model_folder(path, read_json(path / CONFIG, largest=LARGEST_CONFIG))
    repository = recognise_checkout(path)
    if repository is None:
        raise UsageError(
            f"{path} is none of the checkouts rtd knows: SEARLE, composed_image_retrieval "
            "(Pic2Word), lincir, context-i2w, FTI4CIR, KEDs, RTD. Name a checkout's top folder."
        )
    return Finding(
        f"a checkout of {repository.url}",
        repository.method,
        repository.layout,
        repository.commands,
        (*repository.missing_points(path), *repository.traps()),
    )


def _model_folder(path: Path, config: Any) -> Finding:
    kind = config.get("model_type") if isinstance(config, dict) else None
    command = f"rtd patch --method lincir --backbone {typed(path)} --projection phi.pt ..."
    if kind not in KINDS:
        known = ", ".join(KINDS)
        trap = f"rtd knows folders of {known}; this one's model_type is {str(kind)[:40]!r}."
        return Finding("a transformers model folder", traps=(trap,))
    traps = () if kind == "clip" or has_tokenizer(path) else (NO_TOKENIZER,)
    layout = {"blip": "blip", "blip-2": "blip2"}.get(str(kind), "hf")
    return Finding(f"a transformers model folder ({kind})", None, layout, (command,), traps)
