"""`rtd reproduce`, end to end: patches learned, benchmarks searched, every finished piece kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from rtd_adapters.clip.backbones import load_backbone
from rtd_adapters.clip.image_fingerprint import image_fingerprint
from rtd_adapters.clip.sources import backbone_source
from rtd_adapters.compute.at_once import at_once
from rtd_adapters.compute.processes import launched
from rtd_adapters.errors import BackboneError, FileError, UsageError
from rtd_adapters.evaluation.evaluate import EvalOptions, Evaluation, compare
from rtd_adapters.evaluation.result import Result
from rtd_adapters.io.json_files import read_json, write_json
from rtd_adapters.io.locks import claimed
from rtd_adapters.jobs.bench.machine import processor
from rtd_adapters.jobs.evaluate import EvalJob, load_evaluation
from rtd_adapters.jobs.patch import run_patch
from rtd_adapters.jobs.reproduce.config import BackboneChoice, BenchmarkChoice, Config
from rtd_adapters.jobs.reproduce.figures import Finding, Findings
from rtd_adapters.jobs.reproduce.identity import (
    ANNOTATIONS,
    ASKED,
    PROJECTION,
    Asked,
    Identities,
    require_asked,
    require_same,
)
from rtd_adapters.jobs.reproduce.page import write_page
from rtd_adapters.jobs.reproduce.plan import PATCH, Plan, Run, make_plan, runs_of
from rtd_adapters.jobs.reproduce.tables import write_tables
from rtd_adapters.jobs.say import Say, silent
from rtd_adapters.jobs.slots import Example, slots
from rtd_adapters.patch import PatchMetadata, TextEncoderPatch
from rtd_adapters.training.run_folder import has_checkpoint, remove_run

MARK = "reproduce.json"
"""Tells a folder of `rtd reproduce` from any other."""
TRAINED = "trained.json"
"""Beside each patch: on what it was learned, and how long that took."""


@dataclass(frozen=True)
class Means:
    """How the work is carried out. Nothing here is part of what is asked for."""

    device: str | None = None
    """cpu, cuda, ...; accelerate's choice by default."""
    workers: int = 0
    """Processes that read pictures."""
    batch_size: int = 64
    """Pictures, and queries, at a time."""
    quiet: bool = False
    """No progress bars."""
    jobs: int = 1
    """Runs at once, as far as memory allows, each in a process of its own; as in `run_sweep`."""


def reproduce(config: Config, out: Path, means: Means | None = None, say: Say = silent) -> Findings:
    """Do what a file's experiments ask for, as far as everything is there, and write the tables.

    What lies in `out` already is not done again.

    Args:
        config: the experiments.
        out: the folder of all patches, results and tables.
        means: how.
        say: told in a line what happens next.

    Raises:
        UsageError: several processes were started.
        FileError: another run is at work in `out`, or what lies there was asked for otherwise.
        RtdError: an input is damaged or does not fit another; what was finished is kept.
    """
    if launched().count > 1:
        raise UsageError("rtd reproduce is one process. Start it without torchrun.")
    with claimed(out):
        _require_ours(out)
        work = _Work(config, out, make_plan(config), means or Means(), say, say)
        work.check()
        runs = work.left()
        if min(work.means.jobs, len(runs)) > 1:
            _at_once(work, runs)
        else:
            for run in runs:
                work.do(run)
        findings = Findings(config, tuple(work.findings()), tuple(work.plan.skipped))
        write_tables(findings, out)
        write_page(findings, out / "index.html")
        return findings


def _require_ours(out: Path) -> None:
    """Refuse a folder with something else in it, and mark a new one.

    Raises:
        FileError: it holds something else, or cannot be written.
    """
    if (out / MARK).is_file():
        return
    # What a kill left of the mark itself is no hindrance.
    if out.is_dir() and any(not p.name.startswith(f".{MARK}.") for p in out.iterdir()):
        raise FileError(f"{out} is no folder of rtd reproduce, and not empty. Name another --out.")
    write_json(out / MARK, {"is": "rtd reproduce"})


def _at_once(work: _Work, runs: Sequence[Run]) -> None:
    """Do runs at once; one of each backbone and training is measured, and embeds the pictures."""
    alike: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        alike.setdefault((run.backbone.name, run.training.name), []).append(run)
    examples: dict[str, Example] = {}
    for first, *others in alike.values():
        choices = (choice for run in (first, *others) for choice in work.plan.searches[run])
        searches = [work.searched(first, choice) for choice in dict.fromkeys(choices)]
        examples[first.title] = first.job(work.out, work.means.device), searches
    free = slots(min(work.means.jobs, len(runs)), examples, work.say)
    means = replace(work.means, quiet=True)  # bars of several would write over each other
    pieces = {run.title: (work.config, work.out, means, run) for run in runs}
    at_once(_do, pieces, free, lambda title, _: work.say(f"{title}: done"), work.say)


def _do(asked: tuple[Config, Path, Means, Run], say: Say) -> None:
    """Do one run, in a process of its own."""
    config, out, means, run = asked
    _Work(config, out, make_plan(config), means, say).do(run)


@dataclass
class _Work:
    """The runs of a plan, and where their pieces lie."""

    config: Config
    out: Path
    plan: Plan
    means: Means
    say: Say
    """Of what is done next."""
    details: Say = silent
    """What is to be known of a run's inputs."""
    identities: Identities = field(default_factory=Identities)
    weights: dict[str, str | None] = field(default_factory=dict)
    """Why a backbone's weights cannot be had; None where they can."""

    def check(self) -> None:
        """Compare all that is kept with what is asked for, before anything is done."""
        for run, choices in self.plan.searches.items():
            require_asked(run.folder(self.out), self.identities.of_run(run))
            for choice in choices:
                self.kept(run, choice)

    def left(self) -> list[Run]:
        """Runs of which something is still to be done, and whose weights can be had."""
        return [run for run in self.plan.searches if not self.is_done(run) and self.can_do(run)]

    def is_done(self, run: Run) -> bool:
        """Whether a run was done before, which is said."""
        if self.searches_left(run) or not (run.folder(self.out) / PATCH).exists():
            return False
        self.say(f"{run.title}: done before")
        return True

    def can_do(self, run: Run) -> bool:
        """Whether a run's weights can be had; else it is skipped, and said why."""
        why = self.unavailable(run.backbone)
        if why is None:
            return True
        for experiment in self.config.experiments:
            if run in runs_of(self.config, experiment):
                self.plan.skip(experiment.name, ", ".join(run.cell), why)
        self.say(f"{run.title}: skipped, {why}")
        return False

    def searches_left(self, run: Run) -> list[BenchmarkChoice]:
        """Benchmarks on which a run has no result yet."""
        return [choice for choice in self.plan.searches[run] if self.kept(run, choice) is None]

    def do(self, run: Run) -> None:
        """Learn a patch and search with it, or what of that is still to be done."""
        left = self.searches_left(run)
        if not (run.folder(self.out) / PATCH).exists():
            self.say(f"{run.title}: learning")
            self.learn(run)
        for choice in left:
            self.say(f"{run.title}: searching {choice.name}")
            self.search(run, choice).save(self.place(run, choice))

    def learn(self, run: Run) -> None:
        """Learn a patch; a run that was cut off goes on from its last checkpoint."""
        folder = run.folder(self.out)
        job = run.job(self.out, self.means.device)
        write_json(folder / ASKED, self.identities.of_run(run))
        resumed = has_checkpoint(job.run_folder)
        result = run_patch(replace(job, options=replace(job.options, resume=resumed)), self.details)
        seconds = None if resumed else round(result.seconds, 3)
        write_json(folder / TRAINED, {"seconds": seconds, "card": _card(self.means.device)})

    def search(self, run: Run, choice: BenchmarkChoice) -> Result:
        """Search a benchmark with the base encoder and with a run's patch."""
        started = time.perf_counter()
        folder = run.folder(self.out)
        remove_run(run.job(self.out).run_folder)  # a kill may have come between the patch and this
        evaluation = load_evaluation(self.searched(run, choice), "val", self.details)
        patch = TextEncoderPatch.load(folder / PATCH)
        result = compare(evaluation, patch)
        asked = self.asked(run, choice)
        conditions = {
            **_fingerprints(evaluation, patch.metadata),
            "projection_sha256": asked[PROJECTION],
            "annotations_sha256": asked[ANNOTATIONS],
            "training": patch.metadata.training,
            "training_seconds": _trained(folder).get("seconds"),
            "training_card": _trained(folder).get("card"),
            "card": _card(evaluation.backbone.tower.device.type),
            "seconds": round(time.perf_counter() - started, 3),
            "asked": asked,
        }
        return replace(result, settings=result.settings | conditions)

    def searched(self, run: Run, choice: BenchmarkChoice) -> EvalJob:
        """A benchmark, as a run searches it."""
        return EvalJob(
            run.method.method,
            choice.benchmark,
            choice.data,
            backbone=run.backbone.model,
            pretrained=run.backbone.pretrained,
            projection=run.method.projections.get(run.backbone.name),
            method_options=run.method.options,
            options=self.options(choice),
        )

    def options(self, choice: BenchmarkChoice) -> EvalOptions:
        """How a benchmark is searched."""
        means = self.means
        return EvalOptions(
            **choice.search,
            batch_size=means.batch_size,
            quiet=means.quiet,
            device=means.device,
            workers=means.workers,
        )

    def kept(self, run: Run, choice: BenchmarkChoice) -> Result | None:
        """A result that was found before.

        Raises:
            FileError: it was asked for otherwise, or is damaged.
        """
        place = self.place(run, choice)
        if not place.exists():
            return None
        result = Result.load(place)
        require_same(place, result.settings.get("asked"), self.asked(run, choice))
        return result

    def findings(self) -> list[Finding]:
        """All results that are there, experiment by experiment."""
        return [
            Finding(experiment.name, run.cell, run.seed, choice.name, result)
            for experiment in self.config.experiments
            for run in runs_of(self.config, experiment)
            for choice in map(self.config.benchmarks.__getitem__, experiment.benchmarks)
            if choice in self.plan.searches.get(run, [])
            if (result := self.kept(run, choice)) is not None
        ]

    def unavailable(self, backbone: BackboneChoice) -> str | None:
        """Why weights that open_clip has or fetches cannot be had; tried once."""
        if backbone.weights or backbone_source(backbone.model):
            return None
        if backbone.name not in self.weights:
            try:
                load_backbone(backbone.model, backbone.tag)
                self.weights[backbone.name] = None
            except BackboneError as error:
                self.weights[backbone.name] = str(error)
        return self.weights[backbone.name]

    def asked(self, run: Run, choice: BenchmarkChoice) -> Asked:
        """Everything that decides a result."""
        searched = self.identities.of_search(run, choice, self.plan.benchmarks[choice.name])
        return self.identities.of_run(run) | searched

    def place(self, run: Run, choice: BenchmarkChoice) -> Path:
        """Where a result lies."""
        return run.folder(self.out) / "results" / f"{choice.name}.json"


def _fingerprints(evaluation: Evaluation, patch: PatchMetadata) -> dict[str, Any]:
    """Of the weights that saw pictures and texts, and of what the patch was learned from."""
    return {
        "text_tower_sha256": patch.base_fingerprint["fp32"],
        "image_tower_sha256": image_fingerprint(evaluation.backbone.images()[0]),
        "trained_with": patch.projection,
        "triplets": patch.triplets,
        "triplets_sha256": patch.triplets.get("sha256"),
    }


def _card(device: str | None) -> str:
    """Name of what was computed on, accelerate's choice included."""
    if device == "cuda" or (device is None and torch.cuda.is_available()):
        return torch.cuda.get_device_name()
    on_mps = device == "mps" or (device is None and torch.backends.mps.is_available())
    return "mps" if on_mps else processor()


def _trained(folder: Path) -> dict[str, Any]:
    """What is known of a patch's training; nothing if a kill came between the patch and this."""
    path = folder / TRAINED
    return read_json(path) if path.is_file() else {}
