"""The exporter seam: what a plugin says about the files that a repository loads.

Importing this module imports no torch, so that plugins may import it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtd_adapters.export.base import ExportBase
    from rtd_adapters.patch import TextEncoderPatch


@dataclass(frozen=True)
class ExportJob:
    """One `rtd export`."""

    patch: TextEncoderPatch
    out: Path
    base: Path | None = None
    """What is patched: a CLIP checkpoint, a `--resume` checkpoint or a transformers folder; the
    patch's own backbone where it is None."""
    projection: Path | None = None
    allow_torchscript: bool = False
    force: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Exporter:
    """One repository: what it loads, and what rounds there. Registered by name."""

    name: str
    """What `--for` takes."""
    use: str
    """What to type there; {out} is the output, {name} its last part."""
    write: Callable[[ExportJob], ExportBase]
    """Writes the job's output and returns what was patched."""
    folder: bool = False
    """Whether the output is a folder."""
    rounded: Callable[[str], bool] | None = None
    """Which tower tensors the repository holds in fp16, whatever the file's precision; None where
    it rounds none."""
    openai_builder: bool = True
    """Whether OpenAI's `build_model` makes the tower, with heads of width 64 and QuickGELU."""


def everything(name: str) -> bool:
    """For `Exporter.rounded`: all tensors."""
    return True


def held_in_fp16_by_openai(name: str) -> bool:
    """For `Exporter.rounded`: what `convert_weights` of OpenAI's clip/model.py rounds, which is no
    LayerNorm and neither of the embeddings."""
    return ".attn." in name or ".mlp." in name or name == "text_projection"
