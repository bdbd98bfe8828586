"""The main job, end to end: inputs checked, a patch trained, figures taken, files written."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from rtd_adapters.backbones import DEMO, Backbone, load_backbone
from rtd_adapters.errors import FileError, UsageError
from rtd_adapters.files import require_new_folder, require_writable
from rtd_adapters.memory import peak_mb
from rtd_adapters.methods import Method
from rtd_adapters.patch import KINDS, TextEncoderPatch, surviving_share
from rtd_adapters.patch.card import write_card
from rtd_adapters.patch.file import dtype_named
from rtd_adapters.patch.lora import LoRASettings
from rtd_adapters.patch.metadata import PatchMetadata
from rtd_adapters.patch.trainable import LoRAPatch, TrainablePatch
from rtd_adapters.projections import open_projection
from rtd_adapters.registry import get_method, registry
from rtd_adapters.text import TextTower
from rtd_adapters.training import RunOptions, Trainer, TrainingRecord, TrainingSettings
from rtd_adapters.training.engine import Towers
from rtd_adapters.training.processes import launched
from rtd_adapters.training.trainer import has_checkpoint, remove_run
from rtd_adapters.training.validation import anchor_recall
from rtd_adapters.triplets import Triplet, read_triplets
from rtd_adapters.triplets.columns import parse_columns

if TYPE_CHECKING:
    from rtd_adapters.evaluation.diagnostics import Patient

DEMO_TRIPLETS = 20_000
DEMO_SEED = 0
PLANNED_STEPS = 3
"""Of a dry run. The first is slower than the rest, and memory is at its height in the second."""

Figures = dict[str, float]
Say = Callable[[str], None]


@dataclass(frozen=True)
class PatchJob:
    """One `rtd patch`: what goes in, what is computed, what comes out."""

    method: str
    out: Path
    backbone: str = DEMO
    pretrained: str | None = None
    projection: Path | None = None
    triplets: str | Path | None = None
    columns: str | None = None
    """Names of the triplets' columns, as in `reference=src,conditioning=edit,target=dst`."""
    kind: str = "full"
    lora: LoRASettings = field(default_factory=LoRASettings)
    settings: TrainingSettings = field(default_factory=TrainingSettings)
    options: RunOptions = field(default_factory=RunOptions)
    dtype: str = "fp32"
    adapter_out: Path | None = None
    card: Path | None = None
    command: str = ""
    """The command line, for the card."""
    overwrite: bool = False

    @property
    def is_demo(self) -> bool:
        """Whether the built-in world stands in for real inputs."""
        return self.backbone == DEMO

    @property
    def run_folder(self) -> Path:
        """Checkpoints and metrics of this run: beside the output unless the options name one."""
        return self.options.folder or self.out.with_name(f"{self.out.name}.run")


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


@dataclass(frozen=True)
class Inputs:
    """Everything a job needs, loaded and checked against each other."""

    method: Method
    backbone: Backbone
    projection: nn.Module
    triplets: Sequence[Triplet]
    triplets_source: dict[str, Any]
    projection_source: dict[str, Any]


def run_patch(job: PatchJob, say: Say = lambda line: None) -> PatchResult:
    """Learn a patch and write it; of several processes, the first one does the latter.

    Args:
        job: what to do.
        say: told in a line what happens next.

    Raises:
        RtdError: whatever is wrong with the request, an input or the disk; nothing half-written.
    """
    check_request(job)
    inputs = load_inputs(job, say)
    patch = _new_patch(job, inputs)
    trainer = _trainer(job, inputs)
    judge = _judge(job, inputs, trainer, say) if launched().is_main else _no_figures
    inputs.backbone.drop_images()

    before = judge(inputs.backbone.tower)
    say(f"training: {job.settings.steps} steps of {job.settings.batch_size} triplets")
    started = time.perf_counter()
    record = patch.fit(trainer)
    seconds = time.perf_counter() - started
    merge_difference = patch.merge_difference() if isinstance(patch, LoRAPatch) else None
    after = judge(patch.build_tower())

    patch.metadata.figures = {"before": before, "after": after}
    patch.metadata.training = job.settings.to_dict() | {
        "selected_step": record.selected_step,
        "texts_cut": record.texts_cut,
        "texts_cleaned": record.texts_cleaned,
    }
    metadata = patch.metadata
    if launched().is_main:
        metadata = _write(job, patch)
        if job.options.folder is None:
            remove_run(job.run_folder)
    surviving = _surviving(job, patch)
    return PatchResult(
        job.out, metadata, record, before, after, seconds, surviving, merge_difference
    )


@dataclass(frozen=True)
class Plan:
    """What a run would do and cost, from loading everything and training a few steps."""

    job: PatchJob
    trained: int
    """Parameters that would be trained."""
    triplets: int
    loss: float
    """Of the first step."""
    step_seconds: float
    peak_megabytes: float
    """Largest memory of the process so far, or of the GPU where one is used."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for --json."""
        settings = self.job.settings
        return {
            "method": self.job.method,
            "backbone": self.job.backbone,
            "kind": self.job.kind,
            "trained_parameters": self.trained,
            "triplets": self.triplets,
            "loss": self.loss,
            "settings": settings.to_dict(),
            "seconds_per_step": self.step_seconds,
            "seconds": self.step_seconds * settings.steps,
            "peak_megabytes": self.peak_megabytes,
            "out": str(self.job.out),
        }

    def rows(self) -> list[tuple[str, str]]:
        """Name and value of each line to print."""
        settings = self.job.settings
        minutes = self.step_seconds * settings.steps / 60
        return [
            ("method", self.job.method),
            ("backbone", self.job.backbone),
            ("kind", f"{self.job.kind}, {self.trained:,} trained parameters"),
            ("triplets", f"{self.triplets:,}"),
            (
                "training",
                f"{settings.steps} steps of {settings.batch_size}, lr {settings.learning_rate:g}",
            ),
            ("first loss", f"{self.loss:.3f}"),
            ("time", f"about {minutes:.1f} minutes ({self.step_seconds:.2f} s a step)"),
            ("memory", f"{self.peak_megabytes:,.0f} MB at most"),
            ("would write", str(self.job.out)),
        ]


def plan_patch(job: PatchJob, say: Say = lambda line: None) -> Plan:
    """Load and check everything, train a few steps, write nothing.

    Raises:
        RtdError: as `run_patch`.
    """
    check_request(job)
    inputs = load_inputs(job, say)
    patch = _new_patch(job, inputs)
    inputs.backbone.drop_images()
    tried = replace(
        job,
        settings=replace(job.settings, steps=PLANNED_STEPS),
        options=RunOptions(device=job.options.device),
    )
    trainer = Trainer(
        inputs.method,
        inputs.projection,
        inputs.backbone,
        inputs.triplets,
        tried.settings,
        replace(tried.options, quiet=True),
    )
    record = patch.fit(trainer)
    seconds = min(record.step_seconds[1:])
    trained = sum(p.numel() for p in patch.student.parameters() if p.requires_grad)
    return Plan(job, trained, len(inputs.triplets), record.losses[0], seconds, peak_megabytes())


def peak_megabytes() -> float:
    """Peak memory: of the GPU where one was used, of this process otherwise."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    return peak_mb()


def check_request(job: PatchJob) -> None:
    """Check what can be checked before anything heavy is loaded.

    Raises:
        UsageError: options contradict each other or a real backbone lacks an input.
        FileError: an output is in the way, or an unfinished run is.
    """
    if job.kind not in KINDS:
        raise UsageError(f"Unknown kind {job.kind!r}. Use one of {', '.join(KINDS)}.")
    if job.adapter_out and job.kind != "lora":
        raise UsageError("--adapter-out needs --kind lora.")
    dtype_named(job.dtype)
    get_method(job.method)
    lacking = [name for name in ("projection", "triplets") if getattr(job, name) is None]
    if lacking and not job.is_demo:
        flags = " and ".join(f"--{name}" for name in lacking)
        raise UsageError(f"backbone {job.backbone} needs {flags}; only the demo brings its own.")
    require_writable(job.out, overwrite=job.overwrite)
    if job.card:
        require_writable(job.card, overwrite=job.overwrite)
    if job.adapter_out:
        require_new_folder(job.adapter_out, overwrite=job.overwrite)
    if has_checkpoint(job.run_folder) and not job.options.resume:
        if not job.overwrite:
            raise FileError(
                f"{job.run_folder} holds an unfinished run. "
                "Pass --resume to go on with it, or --overwrite to start anew."
            )
        remove_run(job.run_folder)


def load_inputs(job: PatchJob, say: Say = lambda line: None) -> Inputs:
    """Load method, backbone, projection and triplets, and check that they fit.

    Raises:
        RtdError: an input is missing, damaged, or does not fit another.
    """
    method = get_method(job.method)
    triplets, triplets_source = _load_triplets(job)
    say(f"loading backbone {job.backbone}")
    backbone = load_backbone(job.backbone, job.pretrained)
    path = job.projection
    if path is None:
        from rtd_adapters.demo.projections import projection_path

        path = projection_path(method.name)
    others = registry().methods.values()
    projection = open_projection(method, path, backbone.shape, others)
    source = {"source": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    return Inputs(method, backbone, projection, triplets, triplets_source, source)


def _load_triplets(job: PatchJob) -> tuple[Sequence[Triplet], dict[str, Any]]:
    if job.triplets is not None:
        found = read_triplets(job.triplets, parse_columns(job.columns) if job.columns else None)
        return found, {"source": found.source, "sha256": found.sha256, "count": len(found)}
    from rtd_adapters.demo.triplets import demo_triplets

    made = demo_triplets(DEMO_TRIPLETS, DEMO_SEED)
    digest = hashlib.sha256(repr(made).encode()).hexdigest()
    return made, {"source": "built-in world", "sha256": digest, "count": len(made)}


def _new_patch(job: PatchJob, inputs: Inputs) -> TrainablePatch:
    patch = TextEncoderPatch.create(
        job.kind, inputs.backbone, inputs.method, lora=job.lora, seed=job.settings.seed
    )
    patch.metadata.triplets = inputs.triplets_source
    patch.metadata.projection = inputs.projection_source
    return patch


def _trainer(job: PatchJob, inputs: Inputs) -> Trainer:
    return Trainer(
        inputs.method,
        inputs.projection,
        inputs.backbone,
        inputs.triplets,
        job.settings,
        replace(job.options, folder=job.run_folder),
    )


def _judge(
    job: PatchJob, inputs: Inputs, trainer: Trainer, say: Say
) -> Callable[[TextTower], Figures]:
    """What measures a tower: images in the built-in world, held-out triplets anywhere else."""
    if not job.is_demo:
        held_out = trainer.stream.held_out()
        return lambda tower: anchor_recall(_towers(inputs, tower), held_out)
    from rtd_adapters.demo.queries import held_out_queries
    from rtd_adapters.evaluation.demo_world import DemoWorld

    say("drawing the built-in world")
    world = DemoWorld.build(inputs.method, inputs.projection, inputs.backbone, held_out_queries())
    return world.evaluate


def demo_patient(method: str, file: Path) -> Patient:
    """A patch of the built-in world beside its base, for the diagnostics.

    Raises:
        PatchError: the patch was made for another text tower.
        RtdError: as `load_inputs`.
    """
    from rtd_adapters.demo.queries import held_out_queries
    from rtd_adapters.evaluation.demo_world import DemoWorld
    from rtd_adapters.evaluation.diagnostics import Patient

    patch = TextEncoderPatch.load(file)
    inputs = load_inputs(PatchJob(method, file))
    patch.require_fit(inputs.backbone.tower.state_dict())
    world = DemoWorld.build(inputs.method, inputs.projection, inputs.backbone, held_out_queries())
    return Patient(world, inputs.backbone.tower, patch.build_tower())


def _no_figures(tower: TextTower) -> Figures:
    """What the other processes find: nothing, for the first one measures."""
    return {}


def _towers(inputs: Inputs, tower: TextTower) -> Towers:
    backbone, tokenizer = inputs.backbone, inputs.method.tokenizer(tower.config.context_length)
    return Towers(
        inputs.method, inputs.projection, backbone.tower, tower, tokenizer, backbone.image_head
    )


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
