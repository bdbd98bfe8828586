"""What onnxruntime loads, for those who serve without torch: text tower and projection, by a patch.

Importing this module imports neither torch nor onnx.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rtd_adapters.errors import UsageError
from rtd_adapters.export.exporter import ExportBase, Exporter, ExportJob
from rtd_adapters.hooks.specs import hookimpl

if TYPE_CHECKING:
    from torch import nn

    from rtd_adapters.clip.backbones import Backbone
    from rtd_adapters.clip.text import TextTower
    from rtd_adapters.methods.method import Method

NAME = "onnx"
USE = "onnxruntime.InferenceSession('{out}/text_tower.onnx')"
TEXT_TOWER, PROJECTION, TOKENIZER = "text_tower.onnx", "projection.onnx", "tokenizer.json"


@hookimpl
def register_exporters(register: Callable[[Exporter], None]) -> None:
    """Add ONNX."""
    register(
        Exporter(
            NAME,
            USE,
            write_programs,
            folder=True,
            openai_builder=False,
            any_tower=True,
            strengths=True,
        )
    )


def write_programs(job: ExportJob) -> ExportBase:
    """A folder with the patched text tower; with the projection where it is tensors in and tensors
    out; and with the tokenizer where it is OpenAI's byte pairs. Each program's metadata say what a
    user must know (`rtd.` keys).

    Raises:
        UsageError: the extra is not installed, or `--projection` is one that ONNX cannot hold.
        FileError, BackboneError, PatchError: an input does not load or fit, or onnxruntime
            computes something else than torch; nothing is written then.
    """
    from rtd_adapters.evaluation.inputs import fitted_tower
    from rtd_adapters.export.onnx_programs import (
        ProjectionProgram,
        TextTowerProgram,
        require_onnx,
        write_program,
    )
    from rtd_adapters.export.onnx_tokenizer import write_tokenizer
    from rtd_adapters.io.atomic import whole_folder
    from rtd_adapters.methods.installed import get_method

    require_onnx()
    method, backbone = get_method(job.patch.metadata.method), _backbone(job)
    projection = _projection(job, method, backbone)
    job.patch.require_fit(backbone.tower.state_dict(), backbone.tower.config, force=job.force)
    tower = fitted_tower(backbone, job.patch, job.strength)
    tokenizer, about = method.tokenizer(tower), _about(job, method, tower)
    with whole_folder(job.out) as folder:
        write_program(folder / TEXT_TOWER, TextTowerProgram(tower, tokenizer), about)
        if about["tokenizer_file"] == TOKENIZER:
            write_tokenizer(folder / TOKENIZER, tokenizer)
        if projection is not None:
            program = ProjectionProgram(method, projection, backbone.shape)
            write_program(folder / PROJECTION, program, about)
    return ExportBase({}, backbone.tower.state_dict(), job.strength)


def _backbone(job: ExportJob) -> Backbone:
    """What the patch was trained for, or what `--base` names: a folder, or weights of the same."""
    from rtd_adapters.clip.backbones import load_backbone

    label = job.patch.metadata.backbone
    name, _, pretrained = (label, "", "") if Path(label).is_dir() else label.partition("/")
    if job.base is None:
        return load_backbone(name, pretrained or None)
    return load_backbone(str(job.base)) if job.base.is_dir() else load_backbone(name, str(job.base))


def _projection(job: ExportJob, method: Method, backbone: Backbone) -> nn.Module | None:
    """The projection that goes beside the tower; None where there is none, or none that can.

    Raises:
        UsageError: one was given that cannot.
    """
    from rtd_adapters.clip.sources import backbone_source
    from rtd_adapters.methods.projections import load_projection

    if why := _why_not(method):
        if job.projection is not None:
            raise UsageError(f"{why}, which ONNX cannot hold. Leave --projection out.")
        return None
    source = backbone_source(backbone.name)
    brought = source.projection(method.name) if source else None
    if job.projection is None and brought is None:
        return None
    return load_projection(method, backbone, job.projection)[0]


def _why_not(method: Method) -> str:
    """Why a method's pseudo tokens are no function of a picture's embedding; empty where they are.

    A method that composes queries itself may read states, other texts or a bank of neighbours.
    """
    from rtd_adapters.methods.method import Method

    if not method.needs_projection:
        return f"{method.name} has no projection"
    if method.needs_states:
        return f"{method.name} reads an image tower's states"
    if type(method).composed is not Method.composed:
        return f"{method.name} composes its queries itself"
    return ""


def _about(job: ExportJob, method: Method, tower: TextTower) -> dict[str, str]:
    """What whoever asks these programs must know."""
    from rtd_adapters.export.onnx_tokenizer import can_be_written

    metadata, tokenizer = job.patch.metadata, method.tokenizer(tower)
    why, own = _why_not(method), can_be_written(tokenizer)
    return {
        "method": metadata.method,
        "backbone": metadata.backbone,
        "composed_prompt": method.composed_prompt,
        "bare_prompt": method.bare_prompt,
        "placeholder": method.placeholder,
        "placeholder_id": str(tokenizer.placeholder_id),
        "added_token": tokenizer.added_token or "",
        "context_length": str(tower.config.context_length),
        "fixed_length": str(tower.config.fixed_length).lower(),
        "pad_id": str(tower.vocabulary.pad_id),
        "tokenizer": tower.vocabulary.name,
        "tokenizer_fingerprint": tower.vocabulary.fingerprint,
        "tokenizer_file": TOKENIZER if own else "none: use the backbone's own",
        "projection": f"none: {why}" if why else PROJECTION,
        "strength": f"{job.strength:g}",
        "patch_sha256": metadata.fingerprint["fp32"],
        "base_sha256": metadata.base_fingerprint["fp32"],
    }
