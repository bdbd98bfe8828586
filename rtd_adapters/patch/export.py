"""Writes a patch as the very file or folder that an upstream repository's own flags load.

What each repository takes, and what it does to the precision, was read in its code and run; the
places are named beside each target.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from rtd_adapters.errors import PatchError, UsageError
from rtd_adapters.files import require_new_folder, require_writable, whole_file, whole_folder
from rtd_adapters.methods import BackboneShape
from rtd_adapters.patch.base import TextEncoderPatch
from rtd_adapters.patch.carrier import write_carrier
from rtd_adapters.patch.export_base import Base, read_base, read_folder, read_resume
from rtd_adapters.patch.precision import surviving_share
from rtd_adapters.registry import get_method

PHI_DROPOUT = 0.5  # SEARLE's, which its scripts ask for beside the checkpoint


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
class Exported:
    """What was written."""

    out: Path
    use: str
    """What to type in the repository."""
    surviving: float | None
    """Share of the change that the repository's own rounding leaves; None where it rounds none."""


@dataclass(frozen=True)
class Target:
    """One repository: what it loads and what rounds there."""

    write: Callable[[ExportJob], Base]
    use: str
    """What to type there; {out} is the output, {name} its last part."""
    folder: bool = False
    """Whether the output is a folder."""
    rounded: Callable[[str], bool] | None = None
    """Which tower tensors the repository holds in fp16, whatever the file's precision."""
    openai_builder: bool = True
    """Whether OpenAI's `build_model` makes the tower, with heads of width 64 and QuickGELU."""


def export_patch(job: ExportJob, target: str) -> Exported:
    """Write the patch for a repository.

    Raises:
        UsageError: the target is unknown, or an input that it needs was not given.
        PatchError: the patch does not fit the base or the repository.
        FileError, BackboneError: an input is damaged, or the output cannot be written.
    """
    if target not in TARGETS:
        raise UsageError(f"Unknown repository {target!r}. Use one of {', '.join(TARGETS)}.")
    chosen = TARGETS[target]
    (require_new_folder if chosen.folder else require_writable)(job.out, overwrite=job.overwrite)
    if chosen.openai_builder:
        _require_openai_builder(job.patch, target)
    base = chosen.write(job)
    surviving = None
    if chosen.rounded:
        state = job.patch.state()
        surviving = surviving_share(base.tower, state, torch.float16, chosen.rounded)
    return Exported(job.out, chosen.use.format(out=job.out, name=job.out.name), surviving)


def _require_openai_builder(patch: TextEncoderPatch, target: str) -> None:
    tower = patch.metadata.tower
    if tower["heads"] * 64 != tower["width"] or tower["activation"] != "quick_gelu":
        raise PatchError(
            f"{target} builds its text tower with QuickGELU and heads of width 64; this patch is "
            f"for {patch.metadata.backbone}, with {tower['activation']} and {tower['heads']} heads "
            f"in width {tower['width']}. It would compute something else there."
        )


def _write_searle(job: ExportJob) -> Base:
    """`data/phi_models/<exp>/`, as src/validate.py and src/generate_test_submission.py read it."""
    if job.projection is None:
        raise UsageError("searle needs --projection: the SEARLE checkpoint that goes beside it.")
    base = read_base(job)
    tower = job.patch.metadata.tower
    shape = BackboneShape(tower["embed_dim"], tower["width"], tower["width"])
    phi = get_method("searle").load_projection(job.projection, shape)
    settings = {"clip_model_name": str(job.out.resolve() / "clip.pt"), "phi_dropout": PHI_DROPOUT}
    with whole_folder(job.out) as folder:
        write_carrier(folder / "clip.pt", _patched(job, base))
        (folder / "checkpoints").mkdir()
        torch.save({"epoch": 0, "Phi": phi.state_dict()}, folder / "checkpoints" / "phi.pt")
        (folder / "hyperparameters.json").write_text(json.dumps(settings, indent=2))
    return base


def _write_carrier(job: ExportJob) -> Base:
    base = read_base(job)
    write_carrier(job.out, _patched(job, base))
    return base


def _write_resume(job: ExportJob) -> Base:
    """A checkpoint for `--resume`: the whole CLIP, and the user's own projection untouched."""
    base, checkpoint = read_resume(job)
    kept = ("epoch", "name", "state_dict_img2text")
    own = {name: checkpoint[name] for name in kept if name in checkpoint}
    with whole_file(job.out) as temporary:
        torch.save({"epoch": 0} | own | {"state_dict": _patched(job, base)}, temporary)
    return base


def _write_folder(job: ExportJob) -> Base:
    """A `CLIPModel` folder, image tower included: what it lacked would be random numbers."""
    base, source = read_folder(job)
    with whole_folder(job.out) as folder:
        for file in source.iterdir():
            if file.suffix in (".json", ".txt") and not file.name.endswith(".index.json"):
                shutil.copyfile(file, folder / file.name)
        tensors = base.tensors | job.patch.state_dict("hf")
        stored = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    return base


def _write_rtd(job: ExportJob) -> Base:
    """A checkpoint of the official script: the text tower alone, under its class's name."""
    base = read_base(job)
    with whole_file(job.out) as temporary:
        torch.save(
            {"epoch": 0, "CLIPTextModelWithProjection": job.patch.state_dict("hf")}, temporary
        )
    return base


def _patched(job: ExportJob, base: Base) -> Mapping[str, Tensor]:
    if not any(name.startswith("visual.") for name in base.tensors):
        raise PatchError(
            "The base has a text tower in OpenAI's layout but no image tower, and the repository "
            "loads both from one file. Pass the complete CLIP with --base."
        )
    return base.tensors | job.patch.state_dict("openai")


def _held_in_fp16_by_openai(name: str) -> bool:
    """What `convert_weights` of clip/model.py rounds: no LayerNorm, neither of the embeddings."""
    return ".attn." in name or ".mlp." in name or name == "text_projection"


RESUME = "python src/eval_retrieval.py --resume {out} ..."
TARGETS = {
    # src/validate.py takes the CLIP from the experiment's JSON; its --eval-type searle does not.
    "searle": Target(
        _write_searle,
        "python src/validate.py --eval-type phi --exp-name {name} --phi-checkpoint-name phi.pt ...",
        folder=True,
        rounded=_held_in_fp16_by_openai,
    ),
    "pic2word": Target(_write_resume, RESUME),
    "context_i2w": Target(_write_resume, RESUME),
    # models.py loads by hub id, and a folder of that name in the working directory comes first.
    "lincir": Target(
        _write_folder,
        "put it at openai/clip-vit-large-patch14 (or the id of your model) in LinCIR's folder; "
        "python validate.py --clip_model_name large ...",
        folder=True,
        rounded=lambda name: True,
        openai_builder=False,
    ),
    "fti4cir": Target(
        _write_carrier,
        "python src/evaluate.py --clip_model_name {out} ...",
        rounded=_held_in_fp16_by_openai,
    ),
    "rtd": Target(
        _write_rtd,
        "python validate.py --text-encoder-checkpoint-name {out} ...",
        rounded=lambda name: True,
        openai_builder=False,
    ),
}
