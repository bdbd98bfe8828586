"""What the training of a projection needs, asked for, loaded, and checked against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rtd_adapters.clip.backbones import DEFAULT, Backbone, load_backbone
from rtd_adapters.clip.sources import backbone_source
from rtd_adapters.clip.text import fingerprint
from rtd_adapters.compute.devices import usual_device
from rtd_adapters.compute.half_precision import emulation_note
from rtd_adapters.errors import UsageError
from rtd_adapters.evaluation.inputs import EvalOptions
from rtd_adapters.io.atomic import require_writable
from rtd_adapters.jobs.inputs import activation_note
from rtd_adapters.jobs.projection.sources import (
    Material,
    captions_of,
    concepts_of,
    pictures_of,
    record_of,
)
from rtd_adapters.jobs.provided import TrainsProjections
from rtd_adapters.jobs.say import Say, silent
from rtd_adapters.methods.installed import get_method, installed_methods
from rtd_adapters.methods.inversion import CAPTIONS, Concept, ProjectionTraining
from rtd_adapters.methods.method import Method
from rtd_adapters.training import RunOptions
from rtd_adapters.training.inversion import InversionSettings, InversionTrainer
from rtd_adapters.training.reporting import OptionsFile
from rtd_adapters.training.run_folder import folder_beside, require_free_run
from rtd_adapters.training.trackers import require_tracker

FLAGS = ("--captions", "--images", "--phrases")


@dataclass(frozen=True)
class ProjectionJob:
    """One `rtd projection train`: what goes in, what is computed, what comes out."""

    method: str
    out: Path
    """Written as the method's repository keeps it, or as safetensors where it ends so."""
    captions: str | None = None
    """Source of captions, for methods that learn from these, and for those that learn from pictures
    and phrases where `phrases` is none: captions are phrases of their nouns then (ours)."""
    column: str | None = None
    keywords: str | None = None
    """What finds keywords, as `span_finder` takes it."""
    images: Path | None = None
    """Folder of pictures, for methods that learn from these."""
    phrases: Path | None = None
    """Concepts with phrases, as `read_phrases` takes them, for methods that are told concepts."""
    backbone: str = DEFAULT
    pretrained: str | None = None
    method_options: Mapping[str, str] = field(default_factory=dict)
    settings: InversionSettings = field(default_factory=InversionSettings)
    options: RunOptions = field(default_factory=RunOptions)
    viewing: EvalOptions = field(default_factory=EvalOptions)
    """How pictures are read and embedded."""
    given: str = ""
    """The command's options as YAML, for the run's folder."""
    overwrite: bool = False

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


@dataclass(frozen=True)
class Inputs:
    """Everything a job needs, loaded and checked against each other."""

    method: Method
    training: ProjectionTraining
    backbone: Backbone
    material: Material
    base: dict[str, str]
    """Fingerprint of the backbone's text tower."""
    concepts: Sequence[Concept] = ()
    """Of which pictures are told the nearest."""

    def trainer(self, job: ProjectionJob, options: RunOptions | None = None) -> InversionTrainer:
        """What trains on them; it keeps its checkpoints in the job's run folder by default."""
        callbacks = (OptionsFile(job.given), *job.options.callbacks)
        options = options or replace(job.options, folder=job.run_folder, callbacks=callbacks)
        return InversionTrainer(
            self.method,
            self.training,
            self.backbone,
            self.material.open,
            job.settings,
            options,
            self.concepts,
        )

    def identity(self) -> dict[str, Any]:
        """What tells the run from others, beside its settings."""
        return {
            "trains": "projection",
            "method": self.method.name,
            "base": self.base["fp32"],
            "learns_from": self.material.record,
        }


def projection_settings(method: str, backbone: str, **chosen: Any) -> InversionSettings:
    """The hyperparameters of a run: as published, then the backbone's own, then what was chosen.

    Raises:
        UsageError: the method says of no training, or a value is out of its range.
    """
    published = training_of(get_method(method)).published
    source = backbone_source(backbone)
    own: Mapping[str, Any] = {}
    if isinstance(source, TrainsProjections):
        own = source.projection_recipe(method)
    return InversionSettings(**{**published, **own, **chosen})


def training_of(method: Method) -> ProjectionTraining:
    """How a method's projection is trained.

    Raises:
        UsageError: its plugin does not say.
    """
    if method.projection_training is not None:
        return method.projection_training
    known = sorted(n for n, other in installed_methods().items() if other.projection_training)
    raise UsageError(
        f"{method.name} does not say how its projection is trained; {', '.join(known)} do. Pass "
        "the checkpoint of its repository as --projection where one is asked for."
    )


def check_request(job: ProjectionJob) -> None:
    """Check of a request what can be checked before anything is loaded or looked for on the disk.

    Raises:
        UsageError: the method trains no projection here, learns from something else than was
            given, or the tracker cannot be used.
    """
    method = job.chosen_method()
    training = training_of(method)
    sources = (job.captions, job.images, job.phrases)
    given = {flag for flag, source in zip(FLAGS, sources, strict=True) if source is not None}
    if given not in (ways := _ways(training)):
        learns = f"{method.name} learns from {training.learns_from}"
        told = " and phrases with concepts" if training.concepts else ""
        wanted = ", or ".join(" and ".join(sorted(way, reverse=True)) for way in ways)
        too_much = sorted(given - set().union(*ways))
        leave = f" Leave {' and '.join(too_much)} out." if too_much else ""
        raise UsageError(f"{learns}{told}: pass {wanted}.{leave}")
    if job.options.tracker:
        require_tracker(job.options.tracker, job.run_folder)


def _ways(training: ProjectionTraining) -> list[set[str]]:
    """Sets of flags, each of which names all that a training learns from."""
    captions, images, phrases = FLAGS
    if training.learns_from == CAPTIONS:
        return [{captions}]
    if training.concepts:
        return [{images, phrases}, {images, captions}]
    return [{images}]


def require_free_outputs(job: ProjectionJob) -> None:
    """Check that nothing is in the way of what a job writes; nothing is changed.

    Raises:
        FileError: the output is in the way, or an older run is.
    """
    require_writable(job.out, overwrite=job.overwrite)
    require_free_run(job.run_folder, resume=job.options.resume, overwrite=job.overwrite)


def load_inputs(job: ProjectionJob, say: Say = silent) -> Inputs:
    """Load method, backbone and what is learned from, and check that they fit.

    Raises:
        RtdError: an input is missing, damaged, or does not fit another.
    """
    method = job.chosen_method()
    training = training_of(method)
    device = usual_device(job.options.device)
    if note := emulation_note([("--mixed-precision", job.settings.mixed_precision)], device):
        say(note)
    say(f"loading backbone {job.backbone}")
    backbone = load_backbone(job.backbone, job.pretrained)
    if backbone_source(job.backbone) is None and (note := activation_note(method, backbone)):
        say(note)
    tokenizer, concepts = method.tokenizer(backbone.tower), []
    if training.learns_from == CAPTIONS:
        material = captions_of(str(job.captions), job.column, job.keywords, tokenizer, say)
    else:
        assert job.images is not None
        if training.concepts:
            concepts = concepts_of(job.phrases, job.captions, job.column, job.keywords, tokenizer)
            phrases = sum(len(concept.phrases) for concept in concepts)
            say(f"concepts: {len(concepts):,}, with {phrases:,} phrases")
        material = pictures_of(job.images, backbone, job.viewing, say)
        material.record.update(record_of(concepts))
    base = fingerprint(backbone.tower.state_dict())
    return Inputs(method, training, backbone, material, base, concepts)
