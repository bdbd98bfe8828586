"""What a file of a projection says of itself where rtd wrote it, and the writing of it.

In safetensors it stands in the metadata, in a file of torch.save beside the repository's own
entries: one JSON text under one key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from rtd_adapters.clip.text import fingerprint, same_tower
from rtd_adapters.errors import BackboneError, FileError
from rtd_adapters.io.atomic import whole_file
from rtd_adapters.io.checkpoints import read_checkpoint, read_header
from rtd_adapters.io.json_files import parse_json

if TYPE_CHECKING:
    from rtd_adapters.clip.backbones import Backbone
    from rtd_adapters.methods.method import Method

KEY = "rtd_projection"
BASE = "base_fingerprint"
"""Of the text tower that a projection was trained against, as in a patch's metadata."""


def write_projection(
    method: Method,
    projection: nn.Module,
    about: Mapping[str, Any],
    out: Path,
    clip: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a projection: as safetensors where `out` ends so, otherwise as its method's repository
    keeps it.

    Args:
        method: whose projection it is.
        projection: on the CPU.
        about: what the file says of itself; plain values.
        out: the file, written whole or not at all.
        clip: as `Method.projection_checkpoint` takes it.

    Raises:
        FileError: the disk refuses.
    """
    if out.suffix == ".safetensors":
        write_safetensors(projection, about, out)
        return
    checkpoint = method.projection_checkpoint(_tensors(projection), clip)
    # Into a stream: torch.save puts a path's name into the file, and this one is a passing one.
    with whole_file(out) as temporary, temporary.open("wb") as stream:
        torch.save({**checkpoint, KEY: json.dumps(about)}, stream)


def write_safetensors(projection: nn.Module, about: Mapping[str, Any], out: Path) -> None:
    """Write a projection's tensors, and what the file says of itself, as safetensors.

    Raises:
        FileError: the disk refuses.
    """
    with whole_file(out) as temporary:
        save_file(_tensors(projection), temporary, metadata={KEY: json.dumps(about)})


def about_projection(path: Path) -> dict[str, Any] | None:
    """What a projection's file says of itself; None where rtd did not write it.

    Raises:
        FileError: safetensors are missing or damaged, or do not say whose projection they are.
    """
    in_header = path.suffix == ".safetensors"
    text: Any = read_header(path)[1].get(KEY) if in_header else _kept_beside(path)
    if not isinstance(text, str):
        return None
    about = parse_json(text, f"{path}'s metadata")
    if not isinstance(about, dict) or not isinstance(about.get("method"), str):
        raise FileError(f"{path} does not say whose projection it is. Write it again.")
    return about


def base_of(path: Path) -> dict[str, str] | None:
    """Fingerprint of the text tower that a projection was trained against, where its file knows.

    Raises:
        FileError: as `about_projection`.
    """
    known = (about_projection(path) or {}).get(BASE)
    return known if isinstance(known, dict) and isinstance(known.get("fp32"), str) else None


def require_base(path: Path, backbone: Backbone) -> None:
    """Refuse a projection that was trained against another text tower, where its file knows.

    Raises:
        FileError: as `about_projection`.
        BackboneError: it was; both fingerprints are named.
    """
    known = base_of(path)
    if known is None:
        return
    state = backbone.tower.state_dict()
    if same_tower(known, state):
        return
    raise BackboneError(
        f"{path} was trained against another text tower (fingerprint {known['fp32'][:12]}) than "
        f"that of {backbone.label} ({fingerprint(state)['fp32'][:12]}), for which its pseudo "
        "tokens mean nothing. Pass the backbone it was trained for, or train one: rtd projection "
        "train."
    )


def _kept_beside(path: Path) -> object:
    """What stands under the key in a file of torch.save; None where no plain values are read."""
    try:
        checkpoint = read_checkpoint(path)
    except FileError:  # with modules in it, a repository's; damaged, whoever loads it says so
        return None
    return checkpoint.get(KEY) if isinstance(checkpoint, Mapping) else None


def _tensors(projection: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in projection.state_dict().items()}
