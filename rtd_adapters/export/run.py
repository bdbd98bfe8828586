"""Writes a patch as the very file or folder that an upstream repository's own flags load."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import torch

from rtd_adapters.clip.text import TowerConfig, require_strength
from rtd_adapters.errors import PatchError, UsageError
from rtd_adapters.export.exporter import ExportJob, get_exporter
from rtd_adapters.io.atomic import require_new_folder, require_writable
from rtd_adapters.io.locks import claimed
from rtd_adapters.patch import TextEncoderPatch, surviving_share
from rtd_adapters.patch.fit import described_tower


@dataclass(frozen=True)
class Exported:
    """What was written."""

    out: Path
    use: str
    """What to type in the repository."""
    surviving: float | None
    """Share of the change that the repository's own rounding leaves; None where it rounds none."""


def export_patch(job: ExportJob, target: str) -> Exported:
    """Write the patch for a repository.

    Raises:
        UsageError: the target is unknown, an input that it needs was not given, or the strength is
            none that it can be exported at.
        PatchError: the patch does not fit the base or the repository.
        FileError, BackboneError: an input is damaged, or the output cannot be written.
    """
    exporter = get_exporter(target)
    require_strength(job.strength)
    if job.strength != 1 and not exporter.strengths:
        raise UsageError(f"{target} exports whole patches only. Leave --strength at 1.")
    require_free = require_new_folder if exporter.folder else require_writable
    with claimed(job.out):
        require_free(job.out, overwrite=job.overwrite)
        if not exporter.any_tower:
            _require_clip(job.patch, target)
        if exporter.openai_builder:
            _require_openai_builder(job.patch, target)
        described_tower(job.patch.metadata, job.patch.state())
        base = exporter.write(job)
    surviving = None
    if exporter.rounded:
        state = base.state(job.patch)
        surviving = surviving_share(base.tower, state, torch.float16, exporter.rounded)
    words = {"out": shlex.quote(str(job.out)), "name": shlex.quote(job.out.name)}
    return Exported(job.out, exporter.use.format(**words), surviving)


def _require_clip(patch: TextEncoderPatch, target: str) -> None:
    """Check that the patch is of a tower that repositories for CLIP can build."""
    tower = TowerConfig.from_dict(patch.metadata.tower)
    if not tower.is_clip:
        raise PatchError(
            f"{target} builds its text tower as CLIP's; this patch is for "
            f"{patch.metadata.backbone}, whose tower is another (mask {tower.mask}, pooling "
            f"{tower.pooling}). Load its file into the model itself (load_state_dict, "
            "strict=False), or apply it (rtd_adapters.apply)."
        )


def _require_openai_builder(patch: TextEncoderPatch, target: str) -> None:
    tower = patch.metadata.tower
    if tower["heads"] * 64 != tower["width"] or tower["activation"] != "quick_gelu":
        raise PatchError(
            f"{target} builds its text tower with QuickGELU and heads of width 64; this patch is "
            f"for {patch.metadata.backbone}, with {tower['activation']} and {tower['heads']} heads "
            f"in width {tower['width']}. It would compute something else there."
        )
