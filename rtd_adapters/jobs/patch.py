"""`rtd patch`, end to end: inputs checked, a patch trained, figures taken, files written."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from rtd_adapters.clip.precisions import dtype_named
from rtd_adapters.clip.text import TextTower
from rtd_adapters.compute.processes import launched
from rtd_adapters.io.locks import claimed
from rtd_adapters.jobs.inputs import (
    Inputs,
    PatchJob,
    check_request,
    load_inputs,
    require_free_outputs,
)
from rtd_adapters.jobs.provided import provisions
from rtd_adapters.jobs.say import Say, silent
from rtd_adapters.patch import TextEncoderPatch, surviving_share
from rtd_adapters.patch.card import write_card
from rtd_adapters.patch.metadata import PAPER, PatchMetadata
from rtd_adapters.patch.text_encoder_patch import TrainablePatch
from rtd_adapters.patch.trainable import LoRAPatch
from rtd_adapters.training import Trainer, TrainingRecord
from rtd_adapters.training.run_folder import begin_run, mark_finished, remove_run

Figures = dict[str, float]


@dataclass(frozen=True)
class PatchResult:
    """What `rtd patch` prints."""

    out: Path
    metadata: PatchMetadata
    record: TrainingRecord
    before: Figures
    after: Figures
    seconds: float
    """Wall time of the training loop alone."""
    surviving: float | None
    """Share of the change that survives the file's precision; None for fp32."""
    merge_difference: float | None
    """LoRA: largest difference between merged and adapter outputs."""


def run_patch(job: PatchJob, say: Say = silent) -> PatchResult:
    """Learn a patch and write it; of several processes, the first one does the latter.

    Args:
        job: what to do.
        say: told in a line what happens next.

    Raises:
        RtdError: whatever is wrong with the request, an input or the disk; nothing half-written.
    """
    check_request(job)
    with claimed(*_places(job)):
        require_free_outputs(job)
        return _learn(job, load_inputs(job, say), say)


def _places(job: PatchJob) -> list[Path]:
    """What this process writes: of several, the first one writes for all."""
    if not launched().is_main:
        return []
    return [job.out, job.run_folder, *filter(None, (job.card, job.adapter_out))]


def _learn(job: PatchJob, inputs: Inputs, say: Say) -> PatchResult:
    """Train on inputs that are loaded, where `require_free_outputs` found nothing in the way."""
    patch = new_patch(job, inputs)
    trainer = inputs.trainer(job)
    measure = measuring(job, inputs, trainer, say)
    inputs.backbone.drop_images()

    before = measure(inputs.backbone.tower)
    if launched().is_main:
        begin_run(job.run_folder, resume=job.options.resume)
    say(f"training: {job.settings.steps} steps of {job.settings.batch_size} triplets")
    started = time.perf_counter()
    record = patch.fit(trainer)
    seconds = time.perf_counter() - started
    merge_difference = patch.merge_difference() if isinstance(patch, LoRAPatch) else None
    after = measure(patch.build_tower())

    _describe(job, patch, record, before, after)
    if provisions(job.backbone) is None:
        patch.metadata.training["judged_on"] = len(trainer.held_out)
    metadata = patch.metadata
    if launched().is_main:
        metadata = _write(job, patch)
        if job.options.folder is None:
            remove_run(job.run_folder)
        else:
            mark_finished(job.run_folder, job.out)
    surviving = _surviving(job, patch)
    return PatchResult(
        job.out, metadata, record, before, after, seconds, surviving, merge_difference
    )


def new_patch(job: PatchJob, inputs: Inputs) -> TrainablePatch:
    """The patch to be trained, which knows what it will be trained on."""
    patch = TextEncoderPatch.create(
        job.kind, inputs.backbone, inputs.method, lora=job.lora, seed=job.settings.seed
    )
    patch.metadata.triplets = inputs.triplets_source
    patch.metadata.projection = inputs.projection_source
    return patch


def measuring(
    job: PatchJob, inputs: Inputs, trainer: Trainer, say: Say
) -> Callable[[TextTower], Figures]:
    """What takes a tower's figures: on the backbone's own pictures if it brings some, and on
    held-out triplets otherwise. Of several processes, the first one takes them; none does where
    the options want none."""
    if not launched().is_main or job.options.validate_on == 0:
        return _no_figures
    if brought := provisions(job.backbone):
        say(f"drawing the pictures of {job.backbone}")
        own = inputs.own_projection()
        return brought.world(inputs.method, own, inputs.backbone).evaluate

    def judge(tower: TextTower) -> Figures:
        say(_judging(trainer))
        return trainer.figures(tower)

    return judge


def _judging(trainer: Trainer) -> str:
    count, most = len(trainer.held_out), trainer.stream.holdout
    line = f"taking figures on {count} of {most} held-out triplets"
    if count == most or trainer.options.validate_on is not None:
        return line
    return f"{line}, a twentieth of the run's work (--validate-on takes more)"


def _no_figures(tower: TextTower) -> Figures:
    return {}


def _describe(
    job: PatchJob, patch: TrainablePatch, record: TrainingRecord, before: Figures, after: Figures
) -> None:
    patch.metadata.figures = {"before": before, "after": after}
    named = {} if job.recipe == PAPER else {"recipe": job.recipe}
    counted: dict[str, Any] = {
        "selected_step": record.selected_step,
        "texts_cut": record.texts_cut,
        "texts_cleaned": record.texts_cleaned,
    }
    if record.anchor_error:
        counted["anchor_error"] = asdict(record.anchor_error)
    patch.metadata.training = named | job.settings.to_dict() | counted


def _write(job: PatchJob, patch: TrainablePatch) -> PatchMetadata:
    metadata = patch.save(job.out, dtype=job.dtype)
    if job.adapter_out and isinstance(patch, LoRAPatch):
        patch.save_adapter(job.adapter_out, overwrite=job.overwrite)
    if job.card:
        write_card(job.card, metadata, weights=job.out.name, command=job.command)
    return metadata


def _surviving(job: PatchJob, patch: TrainablePatch) -> float | None:
    if job.dtype == "fp32":
        return None
    base = patch.base.state_dict()
    with torch.no_grad():
        return surviving_share(base, patch.state(), dtype_named(job.dtype))
