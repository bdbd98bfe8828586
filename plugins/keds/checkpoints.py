"""What KEDs' files hold: a stream each, or a bank; or, converted, all of them in one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from rtd_adapters import BackboneError, UsageError, read_checkpoint, tensors_under

from .neighbours import NEIGHBOURS

if TYPE_CHECKING:
    from rtd_adapters import Method

PARTS = {
    "img2text": "state_dict_img2text",
    "retrieval_fuse": "state_dict_retrieval_fuse",
    "text_condition": "state_dict_text_condition",
}
"""Part of a stream -> its key in a checkpoint."""


def read_projection(path: Path, embed_dim: int, method: Method) -> dict[str, Tensor]:
    """Tensors of both streams and both banks, named as in `DualStream`.

    Args:
        path: a checkpoint of the stream trained on pictures, or a converted file.
        embed_dim: width of the joint image-text space, and of the banks.
        method: whose options name the other files.

    Raises:
        FileError: a file is missing, damaged or needs more than tensors.
        BackboneError: one holds something else.
        UsageError: an option is missing, or given beside a converted file.
    """
    checkpoint = read_checkpoint(path)
    if not _parts_in(checkpoint):
        tensors = tensors_under(checkpoint, "", path)
        _require_no_files(path, method)
        return tensors
    tensors = _named("image_stream", _stream(checkpoint, path))
    other = Path(method.option("text_stream"))
    tensors |= _named("text_stream", _stream(read_checkpoint(other), other))
    tensors["text_bank"] = read_bank(Path(method.option("text_bank")), embed_dim)
    pictures = method.option("image_bank")
    none = tensors["text_bank"][:0]
    tensors["image_bank"] = read_bank(Path(pictures), embed_dim) if pictures else none
    return tensors


def read_bank(path: Path, embed_dim: int) -> Tensor:
    """[N, embed_dim] from a file of one tensor: torch's, as the repository's, or safetensors.

    Raises:
        FileError: it is missing, damaged or needs more than tensors.
        BackboneError: it holds something else, vectors of another width, or too few of them.
    """
    held = read_checkpoint(path)
    if isinstance(held, Mapping) and len(held) == 1:
        (held,) = held.values()
    if not isinstance(held, Tensor) or held.ndim != 2 or not held.is_floating_point():
        what = f"a {type(held).__name__}"
        if isinstance(held, Tensor):
            what = f"a tensor {list(held.shape)} of {str(held.dtype).removeprefix('torch.')}"
        raise BackboneError(
            f"{path} holds {what}, and a bank is one tensor [N, {embed_dim}] of embeddings. Pass "
            "cc_image_databases.pt or cc_text_databases.pt of KEDs, or one of your own."
        )
    if held.shape[1] != embed_dim:
        raise BackboneError(
            f"{path} is a bank of vectors [{held.shape[1]}], and this backbone's embeddings are "
            f"[{embed_dim}]. Pass a bank that was made with it."
        )
    if len(held) < NEIGHBOURS:
        raise BackboneError(
            f"{path} is a bank of {len(held)} vectors, and KEDs looks {NEIGHBOURS} neighbours up. "
            "Pass a larger one."
        )
    return held


def _parts_in(checkpoint: object) -> set[str]:
    held = checkpoint if isinstance(checkpoint, Mapping) else {}
    return {part for part, key in PARTS.items() if key in held}


def _stream(checkpoint: object, path: Path) -> dict[str, Tensor]:
    present = _parts_in(checkpoint)
    if lacking := [key for part, key in PARTS.items() if part not in present]:
        raise BackboneError(
            f"{path} is no stream of KEDs: it lacks {', '.join(lacking)}. Pass a checkpoint of its "
            "main.py, such as image_stream.pt or text_stream.pt."
        )
    return {
        f"{part}.{name}": tensor
        for part, key in PARTS.items()
        for name, tensor in tensors_under(checkpoint, key, path).items()
    }


def _named(stream: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{stream}.{name}": tensor for name, tensor in tensors.items()}


def _require_no_files(path: Path, method: Method) -> None:
    """Refuse options that name files beside one that holds all there is."""
    if given := list(method.chosen_files()):
        raise UsageError(
            f"{path} holds both streams and their banks. Leave --method-option "
            f"{' and '.join(given)} out, or pass the repository's own checkpoints."
        )
