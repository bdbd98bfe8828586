"""What Pic2Word's scripts load: a checkpoint for --resume."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rtd_adapters import Exporter, UsageError, hookimpl

if TYPE_CHECKING:
    from rtd_adapters import ExportBase, ExportJob

USE = "python src/eval_retrieval.py --resume {out} ..."
OF_KEDS = "state_dict_retrieval_fuse"
"""A key of KEDs' checkpoints, which hold such a mapping network too."""
KEPT = ("epoch", "name", "state_dict_img2text")


@hookimpl
def register_exporters(register: Callable[[Exporter], None]) -> None:
    """Add Pic2Word's scripts."""
    register(Exporter("pic2word", USE, write_resume, strengths=True))


def write_resume(job: ExportJob) -> ExportBase:
    """The whole CLIP, patched, and the user's own projection untouched."""
    import torch

    from rtd_adapters import read_resume_base, whole_file

    base, checkpoint = read_resume_base(job)
    if OF_KEDS in checkpoint:
        raise UsageError(
            f"{job.base} is a checkpoint of KEDs ({OF_KEDS}), of which these scripts would take "
            "one network of three. Pass --for keds."
        )
    own = {name: checkpoint[name] for name in KEPT if name in checkpoint}
    with whole_file(job.out) as temporary:
        torch.save({"epoch": 0} | own | {"state_dict": base.patched(job.patch)}, temporary)
    return base
