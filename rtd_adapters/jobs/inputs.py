"""What a run needs, asked for, loaded, and checked against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from rtd_adapters.clip.backbones import DEFAULT, Backbone, load_backbone
from rtd_adapters.clip.precisions import dtype_named
from rtd_adapters.clip.sources import BackboneSource, backbone_source
from rtd_adapters.clip.text import TextTower
from rtd_adapters.compute.devices import usual_device
from rtd_adapters.compute.half_precision import emulation_note
from rtd_adapters.errors import UsageError
from rtd_adapters.io.atomic import require_new_folder, require_writable
from rtd_adapters.jobs.calibration import PictureFolder, calibrated_head, require_lifted
from rtd_adapters.jobs.lift import lift_note
from rtd_adapters.jobs.provided import provisions
from rtd_adapters.jobs.say import Say, silent
from rtd_adapters.methods.installed import get_method
from rtd_adapters.methods.method import REUSE, Method
from rtd_adapters.methods.projections import load_projection
from rtd_adapters.methods.scale import foreign_scale_note
from rtd_adapters.patch import TextEncoderPatch
from rtd_adapters.patch.lora import LoRASettings
from rtd_adapters.patch.metadata import PAPER
from rtd_adapters.training import RunOptions, Towers, Trainer, TrainingSettings
from rtd_adapters.training.reporting import OptionsFile
from rtd_adapters.training.run_folder import folder_beside, require_free_run
from rtd_adapters.training.trackers import require_tracker
from rtd_adapters.triplets import TripletSet, read_triplets
from rtd_adapters.triplets.columns import parse_columns
from rtd_adapters.triplets.sources import source_identity


@dataclass(frozen=True)
class PatchJob:
    """One `rtd patch`: what goes in, what is computed, what comes out."""

    method: str
    out: Path
    backbone: str = DEFAULT
    pretrained: str | None = None
    projection: Path | None = None
    method_options: Mapping[str, str] = field(default_factory=dict)
    """Chosen options of the method, by name."""
    calibrate: Path | None = None
    """A folder of pictures that the lift of captions to image states is fitted to; our own idea."""
    triplets: str | Path | None = None
    columns: str | None = None
    """Names of the triplets' columns, as in `reference=src,conditioning=edit,target=dst`."""
    kind: str = "full"
    lora: LoRASettings = field(default_factory=LoRASettings)
    settings: TrainingSettings = field(default_factory=TrainingSettings)
    recipe: str = PAPER
    """The recipe that the settings began with, for the metadata; see `recipe_settings`."""
    options: RunOptions = field(default_factory=RunOptions)
    dtype: str = "fp32"
    adapter_out: Path | None = None
    card: Path | None = None
    command: str = ""
    """The command line, for the card."""
    given: str = ""
    """The command's options as YAML, for the run's folder."""
    overwrite: bool = False

    @property
    def source(self) -> BackboneSource | None:
        """What brings the backbone, where a plugin does."""
        return backbone_source(self.backbone)

    @property
    def run_folder(self) -> Path:
        """Checkpoints and metrics of this run: beside the output unless the options name one."""
        return self.options.folder or folder_beside(self.out)

    def chosen_method(self) -> Method:
        """The method, with its options.

        Raises:
            UsageError: there is no such method or option.
        """
        return get_method(self.method).configured(self.method_options)

    def options_by_content(self) -> dict[str, str]:
        """The chosen options of the method, files by their sha256."""
        files = self.chosen_method().chosen_files()
        hashed = {name: source_identity(file) for name, file in files.items()}
        return {**self.method_options, **hashed}


@dataclass(frozen=True)
class Inputs:
    """Everything a job needs, loaded and checked against each other."""

    method: Method
    """That the patch is for."""
    trained: Method
    """That training sees: the same, or with *reuse* another."""
    backbone: Backbone
    projection: nn.Module
    """Of the method that training sees."""
    triplets: TripletSet
    projection_source: dict[str, Any]
    """For the metadata: where the projection comes from, its sha256, the method it is another's,
    the chosen options, and the pictures that the lift was fitted to."""

    @property
    def triplets_source(self) -> dict[str, Any]:
        """For the metadata: where the triplets come from."""
        triplets = self.triplets
        return {"source": triplets.source, "sha256": triplets.sha256, "count": len(triplets)}

    def towers(self, student: TextTower) -> Towers:
        """The networks of a run that trains, or judges, this tower."""
        tokenizer = self.trained.tokenizer(student)
        return Towers(
            self.trained,
            self.projection,
            self.backbone.tower,
            student,
            tokenizer,
            self.backbone.image_head,
        )

    def trainer(self, job: PatchJob, options: RunOptions | None = None) -> Trainer:
        """What trains on them; it keeps its checkpoints in the job's run folder by default."""
        callbacks = (OptionsFile(job.given), *job.options.callbacks)
        options = options or replace(job.options, folder=job.run_folder, callbacks=callbacks)
        return Trainer(
            self.trained, self.projection, self.backbone, self.triplets, job.settings, options
        )

    def own_projection(self) -> nn.Module:
        """The method's own, which *reuse* leaves out of training and evaluation needs.

        Raises:
            UsageError: training sees another's, and the backbone brings none.
        """
        if self.trained is self.method:
            return self.projection
        return load_projection(self.method, self.backbone, None)[0]


def check_request(job: PatchJob) -> None:
    """Check of a request what can be checked before anything is loaded or looked for on the disk.

    Raises:
        UsageError: options contradict each other, a real backbone lacks an input, or the tracker
            cannot be used.
    """
    kinds = TextEncoderPatch.kinds
    if job.kind not in kinds:
        raise UsageError(f"Unknown kind {job.kind!r}. Use one of {', '.join(kinds)}.")
    if job.adapter_out and job.kind != "lora":
        raise UsageError("--adapter-out needs --kind lora.")
    dtype_named(job.dtype)
    if job.calibrate:
        require_lifted(job.chosen_method())
    if job.options.tracker:
        require_tracker(job.options.tracker, job.run_folder)
    _require_inputs(job)


def _require_inputs(job: PatchJob) -> None:
    lacking = []
    trained = trained_for(job.chosen_method())
    if job.projection is None and job.source is None and trained.needs_projection:
        owner = "" if trained.name == job.method else f" ({trained.name}'s)"
        lacking.append(f"--projection{owner}")
    if job.triplets is None and provisions(job.backbone) is None:
        lacking.append("--triplets")
    if lacking:
        flags = " and ".join(lacking)
        raise UsageError(f"backbone {job.backbone} needs {flags}; only the demo brings its own.")


def require_free_outputs(job: PatchJob) -> None:
    """Check that nothing is in the way of what a job writes; nothing is changed.

    Raises:
        FileError: an output is in the way, or an older run is.
    """
    require_writable(job.out, overwrite=job.overwrite)
    if job.card:
        require_writable(job.card, overwrite=job.overwrite)
    if job.adapter_out:
        require_new_folder(job.adapter_out, overwrite=job.overwrite)
    require_free_run(job.run_folder, resume=job.options.resume, overwrite=job.overwrite)


def load_inputs(job: PatchJob, say: Say = silent) -> Inputs:
    """Load method, backbone, projection and triplets, and check that they fit.

    Raises:
        RtdError: an input is missing, damaged, or does not fit another.
    """
    method = job.chosen_method()
    trained = trained_for(method)
    pictures = PictureFolder.found(job.calibrate) if job.calibrate else None
    triplets = _load_triplets(job)
    settings, device = job.settings, usual_device(job.options.device)
    precisions = [
        ("--mixed-precision", settings.mixed_precision),
        ("--frozen-precision", settings.frozen_precision),
    ]
    if note := emulation_note(precisions, device):
        say(note)
    say(f"loading backbone {job.backbone}")
    backbone = load_backbone(job.backbone, job.pretrained)
    if job.source is None and (note := activation_note(method, backbone)):
        say(note)
    projection, projection_source = load_projection(trained, backbone, job.projection)
    if pictures:
        projection_source["calibration"] = pictures.record()
        backbone.image_head, note = calibrated_head(trained, backbone, triplets, pictures)
        say(note)
    elif note := lift_note(trained, backbone, triplets):
        say(note)
    given = job.projection
    if given and (note := foreign_scale_note(given, trained, projection, backbone)):
        say(note)
    if trained is not method:
        projection_source["method"] = trained.name
    if job.method_options:
        projection_source["options"] = dict(job.method_options)
    return Inputs(method, trained, backbone, projection, triplets, projection_source)


def trained_for(method: Method) -> Method:
    """The method whose prompts and projection training sees: the same, or with *reuse* another.

    Raises:
        UsageError: the other is not installed.
    """
    return get_method(method.reuses) if method.stand_in == REUSE else method


def activation_note(method: Method, backbone: Backbone) -> str | None:
    """What to say where a method's repository builds another text tower than is trained."""
    own, trained = method.activation, backbone.tower.config.activation
    if own in (None, trained):
        return None
    return (
        f"note: {backbone.label} computes with {trained}, but {method.name}'s repository builds "
        f"its text tower with {own}, where a patch of this backbone does not fit. Train it with "
        "the backbone that the repository loads; for OpenAI's weights in a file its name ends in "
        "-quickgelu."
    )


def _load_triplets(job: PatchJob) -> TripletSet:
    if job.triplets is not None:
        return read_triplets(job.triplets, parse_columns(job.columns) if job.columns else None)
    brought = provisions(job.backbone)
    if brought is None:
        raise UsageError(f"backbone {job.backbone} needs --triplets.")
    return brought.triplets()
