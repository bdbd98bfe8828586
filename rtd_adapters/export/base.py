"""What a patch is laid over when it is exported: a complete CLIP, from wherever it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from rtd_adapters.clip.backbones import load_backbone
from rtd_adapters.clip.text import from_layout
from rtd_adapters.errors import BackboneError, UsageError
from rtd_adapters.export.exporter import ExportBase, ExportJob
from rtd_adapters.io.checkpoints import read_checkpoint
from rtd_adapters.methods.projections import tensors_under

NOT_TENSORS = ("input_resolution", "context_length", "vocab_size")
"""Numbers that OpenAI's archives keep beside the weights."""


def read_base(job: ExportJob) -> ExportBase:
    """The CLIP in `job.base`, or the backbone that the patch was trained for.

    Raises:
        FileError, BackboneError: it cannot be read.
        PatchError: the patch was made for another.
    """
    if job.base is None or job.base.is_dir():
        return _checked(job, _backbone_tensors(job))
    checkpoint = read_checkpoint(job.base, allow_torchscript=job.allow_torchscript)
    return _checked(job, tensors_under(checkpoint, "state_dict", job.base))


def read_resume_base(job: ExportJob) -> tuple[ExportBase, Mapping[str, Any]]:
    """The CLIP in a `--resume` checkpoint of Pic2Word, Context-I2W or KEDs, and the checkpoint.

    A file that holds the projection alone is completed by the patch's own backbone.

    Raises:
        UsageError: no checkpoint was given.
        FileError, BackboneError, PatchError: as `read_base`.
    """
    if job.base is None:
        raise UsageError(
            "this repository keeps CLIP and projection in one file. Pass --base: the checkpoint "
            "that you give to its --resume."
        )
    checkpoint = read_checkpoint(job.base)
    if not isinstance(checkpoint, Mapping) or "state_dict_img2text" not in checkpoint:
        raise BackboneError(
            f"{job.base} is no --resume checkpoint: it has no 'state_dict_img2text' "
            f"({_first_keys(checkpoint)})."
        )
    if "state_dict" not in checkpoint:
        return _checked(job, _backbone_tensors(job)), checkpoint
    return _checked(job, tensors_under(checkpoint, "state_dict", job.base)), checkpoint


def read_folder_base(job: ExportJob) -> tuple[ExportBase, Path]:
    """The CLIP in a transformers folder, and the folder.

    Raises:
        UsageError: none was given, and the patch's backbone is no folder.
        FileError, BackboneError, PatchError: as `read_base`.
    """
    folder = job.base or Path(job.patch.metadata.backbone)
    if not folder.is_dir():
        raise UsageError(
            "this repository loads a folder. Pass --base: the folder of the transformers CLIPModel "
            "to patch, such as models--openai--clip-vit-large-patch14/snapshots/... in Hugging "
            "Face's cache."
        )
    model, _ = load_backbone(str(folder)).images()
    return _checked(job, dict(model.state_dict())), folder


def _first_keys(checkpoint: Any) -> str:
    if not isinstance(checkpoint, Mapping):
        return "no keys"
    return ", ".join(sorted(map(str, checkpoint))[:5])


def _backbone_tensors(job: ExportJob) -> dict[str, Tensor]:
    """Of the transformers folder in `job.base`, or of the backbone in the patch's metadata."""
    label = str(job.base or job.patch.metadata.backbone)
    name, _, pretrained = (label, "", "") if Path(label).is_dir() else label.partition("/")
    try:
        model, _ = load_backbone(name, pretrained or None).images()
    except (BackboneError, UsageError) as error:
        raise BackboneError(
            f"The patch's backbone {label} cannot be loaded again by its name. Pass --base: the "
            f"complete CLIP that the patch was trained for. ({error})"
        ) from error
    return dict(model.state_dict())


def _checked(job: ExportJob, tensors: dict[str, Tensor]) -> ExportBase:
    kept = {name: tensor for name, tensor in tensors.items() if name not in NOT_TENSORS}
    _, tower = from_layout(kept)
    job.patch.require_fit(tower, force=job.force)
    return ExportBase(kept, tower, job.strength)
