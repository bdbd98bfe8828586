"""What SEARLE's scripts load: an experiment's folder under data/phi_models."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from rtd_adapters import BackboneShape, Exporter, UsageError, held_in_fp16_by_openai, hookimpl

if TYPE_CHECKING:
    from rtd_adapters import ExportBase, ExportJob

USE = "python src/validate.py --eval-type phi --exp-name {name} --phi-checkpoint-name phi.pt ..."
PHI_DROPOUT = 0.5  # what its scripts ask for beside the checkpoint


@hookimpl
def register_exporters(register: Callable[[Exporter], None]) -> None:
    """Add SEARLE's scripts, whose `--eval-type phi` takes the CLIP from the experiment's JSON."""
    rounded = held_in_fp16_by_openai
    register(Exporter("searle", USE, write_experiment, True, rounded, strengths=True))


def write_experiment(job: ExportJob) -> ExportBase:
    """`data/phi_models/<exp>/`, as src/validate.py and src/generate_test_submission.py read it."""
    import torch

    from rtd_adapters import get_method, read_base, whole_folder, write_torchscript

    if job.projection is None:
        raise UsageError("searle needs --projection: the SEARLE checkpoint that goes beside it.")
    base = read_base(job)
    tower = job.patch.metadata.tower
    shape = BackboneShape(tower["embed_dim"], tower["width"], tower["width"])
    phi = get_method("searle").load_projection(job.projection, shape)
    settings = {"clip_model_name": str(job.out.absolute() / "clip.pt"), "phi_dropout": PHI_DROPOUT}
    about = {} if job.strength == 1 else {"strength": job.strength}
    with whole_folder(job.out) as folder:
        write_torchscript(folder / "clip.pt", base.patched(job.patch))
        (folder / "checkpoints").mkdir()
        torch.save({"epoch": 0, "Phi": phi.state_dict()}, folder / "checkpoints" / "phi.pt")
        (folder / "hyperparameters.json").write_text(json.dumps(settings | about, indent=2))
    return base
