"""What KEDs' scripts load: a checkpoint for --resume, as Pic2Word's with two more networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rtd_adapters import BackboneError, Exporter, hookimpl

if TYPE_CHECKING:
    from rtd_adapters import ExportBase, ExportJob

USE = "python src/eval_retrieval.py --resume {out} ..."
NETWORKS = ("state_dict_img2text", "state_dict_retrieval_fuse", "state_dict_text_condition")
WRAPPED = "module."
"""In front of every name. With --distributed the networks are wrapped, and a CLIP whose tensors
lack it is left as it was without a word (`strict=False`); without, its scripts take it off."""


@hookimpl
def register_exporters(register: Callable[[Exporter], None]) -> None:
    """Add KEDs' scripts."""
    register(Exporter("keds", USE, write_resume, strengths=True))


def write_resume(job: ExportJob) -> ExportBase:
    """The whole CLIP, patched, and the user's own networks untouched."""
    import torch

    from rtd_adapters import read_resume_base, tensors_under, whole_file

    base, checkpoint = read_resume_base(job)
    if lacking := [name for name in NETWORKS if name not in checkpoint]:
        raise BackboneError(
            f"{job.base} is no --resume checkpoint of KEDs: it lacks {' and '.join(lacking)}."
        )
    networks = {name: tensors_under(checkpoint, name, Path(str(job.base))) for name in NETWORKS}
    parts = {"state_dict": base.patched(job.patch)} | networks
    wrapped = {
        part: {f"{WRAPPED}{name.removeprefix(WRAPPED)}": value for name, value in tensors.items()}
        for part, tensors in parts.items()
    }
    own = {name: checkpoint[name] for name in ("epoch", "name") if name in checkpoint}
    with whole_file(job.out) as temporary:
        torch.save({"epoch": 0} | own | wrapped, temporary)
    return base
