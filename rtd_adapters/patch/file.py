"""Patch files: complete text towers in safetensors, written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from rtd_adapters.checkpoints import read_safetensors
from rtd_adapters.errors import UsageError
from rtd_adapters.files import whole_file
from rtd_adapters.patch.metadata import PatchMetadata

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def dtype_named(name: str) -> torch.dtype:
    """The torch dtype called fp32, bf16 or fp16."""
    if name not in DTYPES:
        raise UsageError(f"Unknown dtype {name!r}. Use one of {', '.join(DTYPES)}.")
    return DTYPES[name]


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
