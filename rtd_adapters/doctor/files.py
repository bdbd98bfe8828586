"""Recognises checkpoint files by their keys; none of them is run."""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from rtd_adapters.clip.text.layouts import detect_layout
from rtd_adapters.doctor.finding import Finding, typed
from rtd_adapters.doctor.models import fitting_models, same_text_towers
from rtd_adapters.errors import BackboneError, FileError, RtdError, UsageError, first_line
from rtd_adapters.io.checkpoints import archive_names, is_archive, read_checkpoint, read_header
from rtd_adapters.io.json_files import parse_json
from rtd_adapters.methods.projections import KEY as PROJECTION_KEY
from rtd_adapters.patch.metadata import KEY as PATCH_KEY

TORCHSCRIPT = (
    "a TorchScript archive, as OpenAI publishes its CLIPs; it holds code beside the tensors. With "
    "rtd export pass --allow-torchscript if you trust it."
)
LARGEST_PICKLE = 1 << 26
"""Bytes; tensors lie beside the pickle, which names them alone."""
ACTIVATION = (
    "its tensors fit several backbones, which differ by the activation alone: OpenAI's own weights "
    "want -quickgelu."
)
TEXT_ALONE = (
    "its image tower is one of timm's, whose sizes are not compared: these backbones have its text "
    "tower. Take the one that the weights were published as."
)
OPEN_CLIP = ("openai", "open_clip_custom")
"""Layouts of models that `--pretrained` takes; the others are read from a folder."""
IN_A_FOLDER = (
    "rtd reads it as --backbone from the folder it belongs to, with config.json and the tokenizer "
    "beside it (docs/towers.md)."
)
NO_MODEL = (
    "no open_clip model has its sizes, or its image tower is missing; --backbone takes a "
    "model-config JSON."
)
KEDS = "state_dict_retrieval_fuse"
"""What its checkpoint has beside Pic2Word's mapping network."""
STREAM_NEEDS = ("text_stream", "image_bank", "text_bank")
ONE_OF_TWO = (
    "it is one of two streams, and both look neighbours up: --projection is the stream trained on "
    "pictures, and these options name the rest."
)
WHICH_BANK = "it does not say of what: a bank of captions is text_bank, one of pictures image_bank."
FTI4CIR_MODULE = "i2t_model.IMG2TEXT"
"""The class that FTI4CIR pickles whole."""


def recognise_file(path: Path) -> Finding:
    """What a checkpoint file is.

    Raises:
        FileError: it is damaged, or a pickle that could run code.
        UsageError: it is a checkpoint, but of nothing rtd knows.
    """
    if path.suffix == ".safetensors":
        return _safetensors(path)
    members = archive_names(path) if is_archive(path) else []
    if any(name.endswith("/constants.pkl") for name in members):
        return Finding(TORCHSCRIPT, layout="openai")
    if FTI4CIR_MODULE in _pickled_names(path, members):
        return _projection(path, "fti4cir", "a module pickled whole")
    checkpoint = read_checkpoint(path)
    if isinstance(checkpoint, Mapping) and (finding := _of_dict(path, checkpoint)):
        return finding
    if isinstance(checkpoint, Tensor) and checkpoint.ndim == 2:
        option = f"--method-option image_bank={typed(path)}"
        what = f"one tensor {list(checkpoint.shape)}, as KEDs' banks of embeddings are"
        commands = (f"rtd patch --method keds --projection ... {option} ...",)
        return Finding(what, "keds", None, commands, (WHICH_BANK,))
    keys = list(map(str, checkpoint))[:5] if isinstance(checkpoint, Mapping) else ["no keys"]
    raise UsageError(
        f"{path} is a checkpoint of nothing rtd knows ({', '.join(keys)}). It reads projections of "
        "SEARLE, LinCIR, Pic2Word, Context-I2W, FTI4CIR and KEDs, CLIPs, and patches."
    )


def _of_dict(path: Path, checkpoint: Mapping[Any, Any]) -> Finding | None:
    if PROJECTION_KEY in checkpoint:
        method = _named_method(checkpoint[PROJECTION_KEY], path)
        return _projection(path, method, "as rtd projection train writes it")
    if "Phi" in checkpoint:
        finding = _projection(path, "searle", "an MLP under 'Phi'; LinCIR's has the same form")
        return replace(finding, commands=(*finding.commands, *_convert(path, "lincir")))
    if isinstance(inner := checkpoint.get("state_dict_img2text"), Mapping):
        whole = "with the whole CLIP" if checkpoint.get("state_dict") else "without the CLIP"
        if KEDS in checkpoint:
            return _stream(path, f"a --resume checkpoint of one stream, {whole}")
        turned = any("VT_Extractor" in str(name) for name in inner)
        method = "context_i2w" if turned else "pic2word"
        return _projection(path, method, f"a --resume checkpoint, {whole}")
    if "CLIPTextModelWithProjection" in checkpoint:
        return Finding(
            "a text encoder of the official RTD script",
            "lincir",
            "hf",
            (f"python validate.py --text-encoder-checkpoint-name {typed(path)} ...",),
            ("its validate.py loads it into an fp16 tower, which rounds it.",),
        )
    tensors = checkpoint.get("state_dict", checkpoint)
    layout = _layout(tensors) if isinstance(tensors, Mapping) else None
    if layout is None:
        return None
    shapes = {str(name): list(t.shape) for name, t in tensors.items() if isinstance(t, Tensor)}
    return _clip(path, "a CLIP's state dict", layout, shapes)


def _clip(path: Path, what: str, layout: str, shapes: Mapping[str, list[int]]) -> Finding:
    """A model's tensors, with a command for each backbone of their sizes."""
    if layout not in OPEN_CLIP:
        return Finding(what, None, layout, _of_folder(path), (IN_A_FOLDER,))
    names, trap = fitting_models(shapes), ACTIVATION
    if not names:
        names, trap = same_text_towers(shapes), TEXT_ALONE
    commands = tuple(
        f"rtd patch --method searle --backbone {name} --pretrained {typed(path)} ..."
        for name in names
    )
    traps = (trap,) if len(names) > 1 else () if names else (NO_MODEL,)
    return Finding(what, None, layout, commands, traps)


def _of_folder(path: Path) -> tuple[str, ...]:
    """The command for a folder of transformers that a weights file lies in."""
    folder = path.parent
    if not (folder / "config.json").is_file():
        return ()
    return (f"rtd patch --method searle --backbone {typed(folder)} ...",)


def _safetensors(path: Path) -> Finding:
    shapes, metadata = read_header(path)
    if PROJECTION_KEY in metadata:
        method = _named_method(metadata[PROJECTION_KEY], path)
        return _projection(path, method, "as rtd projection train and convert write it")
    if PATCH_KEY in metadata:
        return Finding("a patch of rtd-adapters", commands=(f"rtd inspect {typed(path)}",))
    layout = _layout(shapes)
    if layout is None:
        first = ", ".join(list(shapes)[:3])
        raise UsageError(f"{path} holds neither a CLIP nor a projection nor a patch ({first}).")
    sizes = {name: shape for name, (_, shape) in shapes.items()}
    return _clip(path, "tensors of a CLIP, with no patch's metadata", layout, sizes)


def _named_method(text: Any, path: Path) -> str:
    about = parse_json(str(text), f"{path}'s metadata")
    if not isinstance(about, dict) or not isinstance(about.get("method"), str):
        raise FileError(f"{path} does not say whose projection it is. Write it again.")
    return about["method"]


def _projection(path: Path, method: str, what: str) -> Finding:
    words = f"--method {typed(method)} --projection {typed(path)}"
    patch = f"rtd patch {words} --backbone ... --triplets ..."
    layout = "hf" if method == "lincir" else "openai"
    return Finding(
        f"a projection of {method}: {what}", method, layout, (patch, *_convert(path, method))
    )


def _stream(path: Path, what: str) -> Finding:
    """A checkpoint of KEDs, which is not the whole projection."""
    beside = " ".join(f"--method-option {name}=..." for name in STREAM_NEEDS)
    words = f"--method keds --projection {typed(path)} {beside}"
    patch = f"rtd patch {words} --backbone ... --triplets ..."
    commands = (patch, *_convert(path, "keds", beside))
    return Finding(f"a projection of keds: {what}", "keds", "openai", commands, (ONE_OF_TWO,))


def _convert(path: Path, method: str, beside: str = "") -> tuple[str, ...]:
    if path.suffix == ".safetensors":
        return ()
    words = " ".join(filter(None, (typed(path), f"--method {method}", beside, "--backbone ...")))
    return (f"rtd projection convert {words} --out {typed(f'{path.stem}.safetensors')}",)


def _layout(names: Iterable[Any]) -> str | None:
    try:
        return detect_layout(map(str, names))
    except BackboneError:
        return None


def _pickled_names(path: Path, members: Iterable[str]) -> set[str]:
    """Classes and functions that an archive's pickle names, read as text."""
    data = next((name for name in members if name.endswith("data.pkl")), None)
    if data is None:
        return set()
    try:
        with zipfile.ZipFile(path) as archive:
            size = archive.getinfo(data).file_size
            if size > LARGEST_PICKLE:
                raise FileError(
                    f"{path} has a pickle of {size:,} bytes, as no file of torch.save has. "
                    "Fetch or write it again."
                )
            return _globals(archive.read(data))
    except RtdError:
        raise
    except Exception as error:  # zipfile fails on damaged bytes with anything
        raise FileError(
            f"{path} is truncated or damaged ({first_line(error)}). Fetch or write it again."
        ) from error


def _globals(pickled: bytes) -> set[str]:
    try:
        return {
            str(argument).replace(" ", ".")
            for operation, argument, _ in pickletools.genops(pickled)
            if operation.name == "GLOBAL"
        }
    except ValueError:
        return set()
