"""Patch files: complete text towers in safetensors, written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from rtd_adapters.clip.precisions import dtype_named
from rtd_adapters.io.atomic import whole_file
from rtd_adapters.io.checkpoints import read_safetensors
from rtd_adapters.patch.metadata import PatchMetadata


def write_patch(path: Path, tensors: Mapping[str, Tensor], metadata: PatchMetadata) -> None:
    """Write tensors under the layout's names, cast to `metadata.dtype`, mode 0644.

    Raises:
        FileError: the disk refuses; the old file, if any, is untouched.
    """
    dtype = dtype_named(metadata.dtype)
    stored = {
        name: tensor.detach().cpu().to(dtype).contiguous() for name, tensor in tensors.items()
    }
    with whole_file(path) as temporary:
        save_file(stored, temporary, metadata=metadata.to_header())


def read_patch(path: Path) -> tuple[dict[str, Tensor], PatchMetadata]:
    """Tensors under the layout's names, and the metadata.

    Raises:
        FileError: the file is missing or damaged.
        PatchError: it is a safetensors file, but no patch.
    """
    tensors, header = read_safetensors(path)
    return tensors, PatchMetadata.from_header(header, str(path))
