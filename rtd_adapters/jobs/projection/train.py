"""A projection trained: inputs checked, steps taken, figures taken, the file written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.compute.processes import launched
from rtd_adapters.io.locks import claimed
from rtd_adapters.jobs.projection.inputs import (
    Inputs,
    ProjectionJob,
    check_request,
    load_inputs,
    require_free_outputs,
)
from rtd_adapters.jobs.say import Say, silent
from rtd_adapters.methods.projection_files import BASE, write_projection
from rtd_adapters.patch.metadata import current_versions
from rtd_adapters.training.inversion import InversionRun
from rtd_adapters.training.run_folder import begin_run, mark_finished, remove_run


@dataclass(frozen=True)
class ProjectionResult:
    """What `rtd projection train` prints."""

    out: Path
    about: dict[str, Any]
    """What the file says of itself."""
    run: InversionRun
    seconds: float
    """Wall time of the run, pictures embedded included."""


def train_projection(job: ProjectionJob, say: Say = silent) -> ProjectionResult:
    """Train a projection and write it; of several processes, the first one does the latter.

    Args:
        job: what to do.
        say: told in a line what happens next.

    Raises:
        RtdError: whatever is wrong with the request, an input or the disk; nothing half-written.
    """
    check_request(job)
    places = (job.out, job.run_folder) if launched().is_main else ()
    with claimed(*places):
        require_free_outputs(job)
        return _train(job, load_inputs(job, say), say)


def _train(job: ProjectionJob, inputs: Inputs, say: Say) -> ProjectionResult:
    """Train on inputs that are loaded, where `require_free_outputs` found nothing in the way."""
    trainer = inputs.trainer(job)
    projection = trainer.fresh()
    if launched().is_main:
        begin_run(job.run_folder, resume=job.options.resume)
    learned = inputs.training.learns_from
    say(f"training: {job.settings.steps} steps of {job.settings.batch_size} {learned}")
    started = time.perf_counter()
    run = trainer.train(projection, inputs.identity())
    seconds = time.perf_counter() - started
    about = _about(job, inputs, run)
    if launched().is_main:
        clip = _in_openai_names(inputs.backbone)
        write_projection(inputs.method, projection, about, job.out, clip)
        if job.options.folder is None:
            remove_run(job.run_folder)
        else:
            mark_finished(job.run_folder, job.out)
    return ProjectionResult(job.out, about, run, seconds)


def _about(job: ProjectionJob, inputs: Inputs, run: InversionRun) -> dict[str, Any]:
    counted = {
        "selected_step": run.record.selected_step,
        "texts_cut": run.record.texts_cut,
        "texts_cleaned": run.record.texts_cleaned,
        "learned_from": run.things,
    }
    return {
        "method": inputs.method.name,
        "options": dict(job.method_options),
        "backbone": inputs.backbone.label,
        "shape": asdict(inputs.backbone.shape),
        BASE: inputs.base,
        "learns_from": inputs.training.learns_from,
        "material": inputs.material.record,
        "training": job.settings.to_dict() | counted,
        "published_in": inputs.training.source,
        "figures": {"before": run.before, "after": run.after},
        "versions": current_versions(),
    }


def _in_openai_names(backbone: Backbone) -> Mapping[str, Tensor] | None:
    """The whole CLIP's tensors where its library names them as OpenAI does; None elsewhere."""
    if backbone.model is None or backbone.layout != "openai":
        return None
    return backbone.model.state_dict()
