"""What FTI4CIR's scripts load: a CLIP file by its path."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rtd_adapters import Exporter, held_in_fp16_by_openai, hookimpl

if TYPE_CHECKING:
    from rtd_adapters import ExportBase, ExportJob

USE = "python src/evaluate.py --clip_model_name {out} ..."


@hookimpl
def register_exporters(register: Callable[[Exporter], None]) -> None:
    """Add FTI4CIR's scripts."""
    rounded = held_in_fp16_by_openai
    register(Exporter("fti4cir", USE, write_clip, rounded=rounded, strengths=True))


def write_clip(job: ExportJob) -> ExportBase:
    """A TorchScript archive of the whole CLIP, which OpenAI's `clip.load(PATH)` takes."""
    from rtd_adapters import read_base, write_torchscript

    base = read_base(job)
    write_torchscript(job.out, base.patched(job.patch))
    return base
