"""The exporter seam: what a plugin says about the files that a repository loads.

Importing this module imports no torch, so that plugins may import it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rtd_adapters.errors import PatchError
from rtd_adapters.hooks.kinds import EXPORTER
from rtd_adapters.hooks.registry import registry

if TYPE_CHECKING:
    from torch import Tensor

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
    strength: float = 1.0
    """0 is the base, 1 the patched tower; values between interpolate."""


@dataclass(frozen=True)
class ExportBase:
    """A CLIP's tensors, and its text tower under `TextTower`'s names."""

    tensors: dict[str, Tensor]
    tower: Mapping[str, Tensor]
    strength: float
    """Of the patch, as the job has it."""

    def state(self, patch: TextEncoderPatch) -> Mapping[str, Tensor]:
        """The text tower at the job's strength, under `TextTower`'s names."""
        from rtd_adapters.clip.text import interpolate

        return interpolate(self.tower, patch.state(), self.strength)

    def text_tower(self, patch: TextEncoderPatch, layout: str) -> dict[str, Tensor]:
        """The same in a layout: `openai`, `open_clip_custom` or `hf`."""
        from rtd_adapters.clip.text import to_layout

        return to_layout(self.state(patch), layout)

    def patched(self, patch: TextEncoderPatch) -> dict[str, Tensor]:
        """All tensors in OpenAI's layout, the text tower's from the patch at the job's strength.

        Raises:
            PatchError: there is no image tower, and repositories load both from one file.
        """
        if not any(name.startswith("visual.") for name in self.tensors):
            raise PatchError(
                "The base has a text tower in OpenAI's layout but no image tower, and the "
                "repository loads both from one file. Pass the complete CLIP with --base."
            )
        return self.tensors | self.text_tower(patch, "openai")


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
    any_tower: bool = False
    """Whether it takes text towers that are not built as CLIP's."""
    strengths: bool = False
    """Whether `write` takes the tower from its `ExportBase`, which knows the job's strength; one
    that does not is refused any strength but 1."""


def everything(name: str) -> bool:
    """For `Exporter.rounded`: all tensors."""
    return True


def held_in_fp16_by_openai(name: str) -> bool:
    """For `Exporter.rounded`: what `convert_weights` of OpenAI's clip/model.py rounds, which is no
    LayerNorm and neither of the embeddings."""
    return ".attn." in name or ".mlp." in name or name == "text_projection"


def get_exporter(name: str) -> Exporter:
    """The installed exporter of that name.

    Raises:
        UsageError: there is none, and the message suggests the nearest.
    """
    exporter: Exporter = registry().find(EXPORTER, name)
    return exporter
