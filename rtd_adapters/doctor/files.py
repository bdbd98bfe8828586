"""Recognises checkpoint files by their keys; none of them is run."""

from __future__ import annotations

import json
import pickletools
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtd_adapters.errors import FileError, UsageError
from rtd_adapters.io.checkpoints import read_checkpoint, read_header
from rtd_adapters.methods.projections import KEY as PROJECTION_KEY
from rtd_adapters.patch.metadata import KEY as PATCH_KEY

SCRIPTED = (
    "a TorchScript archive, as OpenAI publishes its CLIPs; it holds code beside the tensors. With "
    "rtd export pass --allow-torchscript if you trust it."
)


@dataclass(frozen=True)
class Kind:
    """What a file is."""

    found: str
    method: str | None = None
    layout: str | None = None
    commands: tuple[str, ...] = ()
    traps: tuple[str, ...] = ()


def recognise_file(path: Path) -> Kind:
    """What a checkpoint file is.

    Raises:
        FileError: it is damaged, or a pickle that could run code.
        UsageError: it is a checkpoint, but of nothing rtd knows.
    """
    if path.suffix == ".safetensors":
        return _safetensors(path)
    names = _pickled_names(path)
    if "i2t_model.IMG2TEXT" in names:
        return _projection(path, "fti4cir", "a module pickled whole")
    if names & {"TorchScript"}:
        return Kind(SCRIPTED, None, "openai")
    found = read_checkpoint(path)
    if isinstance(found, Mapping) and (kind := _of_dict(path, found)):
        return kind
    keys = ", ".join(list(map(str, found))[:5]) if isinstance(found, Mapping) else "no keys"
    raise UsageError(
        f"{path} is a checkpoint of nothing rtd knows ({keys}). It reads the projections of "
        "SEARLE, LinCIR, Pic2Word, Context-I2W and FTI4CIR, CLIPs, and patches."
    )


def _of_dict(path: Path, found: Mapping[Any, Any]) -> Kind | None:
    if "Phi" in found:
        kind = _projection(path, "searle", "an MLP under 'Phi'; LinCIR's has the same form")
        other = _convert(path, "lincir")
        return Kind(kind.found, kind.method, kind.layout, (*kind.commands, *other))
    if isinstance(inner := found.get("state_dict_img2text"), Mapping):
        turned = any("VT_Extractor" in str(name) for name in inner)
        method = "context_i2w" if turned else "pic2word"
        whole = "with the whole CLIP" if found.get("state_dict") else "without the CLIP"
        return _projection(path, method, f"a --resume checkpoint, {whole}")
    if "CLIPTextModelWithProjection" in found:
        return Kind(
            "a text encoder of the official RTD script",
            "lincir",
            "hf",
            (f"python validate.py --text-encoder-checkpoint-name {path} ...",),
            ("its validate.py loads it into an fp16 tower, which rounds it.",),
        )
    tensors = found.get("state_dict", found)
    layout = _layout(list(tensors)) if isinstance(tensors, Mapping) else None
    if layout:
        return Kind(
            "a CLIP's state dict",
            None,
            layout,
            (f"rtd patch --method searle --backbone ViT-L-14-quickgelu --pretrained {path} ...",),
        )
    return None


def _safetensors(path: Path) -> Kind:
    shapes, metadata = read_header(path)
    if PROJECTION_KEY in metadata:
        method = json.loads(metadata[PROJECTION_KEY])["method"]
        return _projection(path, method, "as rtd projection convert writes it")
    if PATCH_KEY in metadata:
        return Kind("a patch of rtd-adapters", commands=(f"rtd inspect {path}",))
    layout = _layout(list(shapes))
    if layout is None:
        first = ", ".join(list(shapes)[:3])
        raise UsageError(f"{path} holds neither a CLIP nor a projection nor a patch ({first}).")
    return Kind("tensors of a CLIP, with no patch's metadata", None, layout)


def _projection(path: Path, method: str, what: str) -> Kind:
    patch = f"rtd patch --method {method} --projection {path} --backbone ... --triplets ..."
    layout = "hf" if method == "lincir" else "openai"
    return Kind(
        f"a projection of {method}: {what}", method, layout, (patch, *_convert(path, method))
    )


def _convert(path: Path, method: str) -> tuple[str, ...]:
    if path.suffix == ".safetensors":
        return ()
    out = f"{path.stem}.safetensors"
    return (f"rtd projection convert {path} --method {method} --backbone ... --out {out}",)


def _layout(names: list[Any]) -> str | None:
    plain = {str(name).removeprefix("module.") for name in names}
    marks = {
        "openai": "token_embedding.weight",
        "open_clip_custom": "text.token_embedding.weight",
        "hf": "text_model.embeddings.token_embedding.weight",
    }
    return next((layout for layout, mark in marks.items() if mark in plain), None)


def _pickled_names(path: Path) -> set[str]:
    """Classes and functions that a file's pickle names, read as text; and 'TorchScript'."""
    try:
        with zipfile.ZipFile(path) as archive:
            inside = archive.namelist()
            if any(name.endswith("/constants.pkl") for name in inside):
                return {"TorchScript"}
            data = next((name for name in inside if name.endswith("data.pkl")), None)
            return _globals(archive.read(data)) if data else set()
    except zipfile.BadZipFile:
        return set()
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}. Check the path.") from error


def _globals(pickled: bytes) -> set[str]:
    try:
        return {
            str(argument).replace(" ", ".")
            for operation, argument, _ in pickletools.genops(pickled)
            if operation.name == "GLOBAL"
        }
    except ValueError:
        return set()
