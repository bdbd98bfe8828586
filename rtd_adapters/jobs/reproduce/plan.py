"""What a file's experiments come to: patches, benchmarks to search, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from rtd_adapters.clip.sources import backbone_source
from rtd_adapters.errors import FileError, MissingFilesError, RtdError, UsageError
from rtd_adapters.evaluation.benchmark import Benchmark, load_benchmark
from rtd_adapters.evaluation.inputs import require_partners
from rtd_adapters.jobs.inputs import PatchJob, trained_for
from rtd_adapters.jobs.provided import provisions
from rtd_adapters.jobs.recipe import CHECKPOINT_MINUTES, recipe_settings
from rtd_adapters.jobs.reproduce.config import (
    OWN,
    BackboneChoice,
    BenchmarkChoice,
    Config,
    Experiment,
    MethodChoice,
    TrainingChoice,
    TripletChoice,
)
from rtd_adapters.jobs.reproduce.fields import VARIABLE
from rtd_adapters.methods.method import Method
from rtd_adapters.training import RunOptions

PATCH = "patch.safetensors"

Cell = tuple[str, str, str, str]
"""The file's names of a method, a backbone, triplets and a training."""


@dataclass(frozen=True)
class Run:
    """One patch, whichever experiments ask for it."""

    method: MethodChoice
    backbone: BackboneChoice
    triplets: TripletChoice
    training: TrainingChoice
    seed: int

    @property
    def cell(self) -> Cell:
        """What it is, the seed aside."""
        return self.method.name, self.backbone.name, self.triplets.name, self.training.name

    @property
    def title(self) -> str:
        """For a line of progress."""
        return f"{', '.join(self.cell)}, seed {self.seed}"

    def projections(self) -> tuple[tuple[Mapping[str, Path], Method], ...]:
        """Of the patch's own method and of that which training sees: named files, and whose."""
        method = self.method.configured()
        own, trained = self.method.projections, self.method.trained_with()
        return (own, method), (trained, trained_for(method))

    def folder(self, out: Path) -> Path:
        """Where its patch and its results lie."""
        return out.joinpath("runs", *self.cell, f"seed-{self.seed}")

    def job(self, out: Path, device: str | None = None) -> PatchJob:
        """What learns the patch.

        Raises:
            UsageError: settings contradict each other.
        """
        settings = recipe_settings(
            self.backbone.model,
            self.training.kind,
            self.training.recipe,
            **self.training.settings,
            seed=self.seed,
        )
        return PatchJob(
            self.method.method,
            self.folder(out) / PATCH,
            backbone=self.backbone.model,
            pretrained=self.backbone.pretrained,
            projection=self.method.trained_with().get(self.backbone.name),
            method_options=self.method.options,
            triplets=self.triplets.file,
            columns=self.triplets.columns,
            kind=self.training.kind,
            settings=settings,
            recipe=self.training.recipe,
            options=RunOptions(checkpoint_minutes=CHECKPOINT_MINUTES, quiet=True, device=device),
        )


@dataclass(frozen=True)
class Skipped:
    """What is not done, and why."""

    experiment: str
    what: str
    why: str


@dataclass
class Plan:
    """What there is to do, and what is missing for the rest."""

    searches: dict[Run, list[BenchmarkChoice]] = field(default_factory=dict)
    benchmarks: dict[str, Benchmark] = field(default_factory=dict)
    """Those that are there, read, by the file's names."""
    skipped: list[Skipped] = field(default_factory=list)

    def skip(self, experiment: str, what: str, why: str) -> None:
        """Note it, once for all seeds."""
        note = Skipped(experiment, what, why)
        if note not in self.skipped:
            self.skipped.append(note)

    def ask(self, experiment: str, run: Run, choices: Sequence[BenchmarkChoice]) -> None:
        """Have a run search benchmarks, and note what it lacks for those that it cannot search.

        Plain captions need less: a method that trains with another's projection goes without its
        own there.
        """
        groups: dict[str, list[BenchmarkChoice]] = {} if choices else {_lacking(run): []}
        for choice in choices:
            why = _lacking(run, composes=self.benchmarks[choice.name].composes)
            groups.setdefault(why, []).append(choice)
        for why, skipped in groups.items():
            names = ", ".join(choice.name for choice in skipped)
            on = f" on {names}" if len(groups) > 1 else ""
            if why:
                self.skip(experiment, ", ".join(run.cell) + on, why)
        if able := groups.get("", []):
            asked = self.searches.setdefault(run, [])
            asked += [choice for choice in able if choice not in asked]


def make_plan(config: Config) -> Plan:
    """Lay out every experiment, and look for what it needs; no weights are loaded.

    Raises:
        FileError: two things that the file puts together do not go together, or a benchmark is
            damaged.
    """
    plan = Plan()
    absent = _read_benchmarks(config, plan)
    for experiment in config.experiments:
        there = [config.benchmarks[name] for name in experiment.benchmarks if name not in absent]
        for name in experiment.benchmarks:
            if name in absent:
                plan.skip(experiment.name, name, absent[name])
        for run in runs_of(config, experiment):
            _require_sound(config, experiment, run)
            plan.ask(experiment.name, run, there)
    return plan


def runs_of(config: Config, experiment: Experiment) -> Iterator[Run]:
    """The runs of a grid, the last list moving fastest."""
    for method, backbone, triplets, training, seed in product(
        experiment.methods,
        experiment.backbones,
        experiment.triplets,
        experiment.trainings,
        experiment.seeds,
    ):
        yield Run(
            config.methods[method],
            config.backbones[backbone],
            config.triplets[triplets],
            config.trainings[training],
            seed,
        )


def _read_benchmarks(config: Config, plan: Plan) -> Mapping[str, str]:
    """Read those that some experiment asks for; why the others are not there, by name."""
    absent = {}
    asked = dict.fromkeys(name for e in config.experiments for name in e.benchmarks)
    for choice in map(config.benchmarks.__getitem__, asked):
        if choice.data is not None and not choice.data.is_dir():
            absent[choice.name] = _not_there(choice.data)
            continue
        try:
            plan.benchmarks[choice.name] = load_benchmark(choice.benchmark, choice.data)
        except MissingFilesError as error:
            first, more = error.missing[0], len(error.missing) - 1
            absent[choice.name] = f"{choice.data} lacks {first}" + (
                f" and {more} more" * (more > 0)
            )
    return absent


def _require_sound(config: Config, experiment: Experiment, run: Run) -> None:
    """Refuse what could not be done even if everything were there.

    Raises:
        FileError: it is such; the file, the experiment and the names are said.
    """
    try:
        for name in experiment.benchmarks:
            require_partners(config.benchmarks[name].benchmark, run.backbone.model)
        if run.triplets.name == OWN and provisions(run.backbone.model) is None:
            raise UsageError(f"the backbone {run.backbone.name} brings no triplets of its own.")
        run.job(Path())
    except RtdError as error:
        raise FileError(
            f"{config.path}, 'experiments', {experiment.name!r}: {run.title} cannot be: {error}"
        ) from error


def _lacking(run: Run, *, composes: bool = True) -> str:
    """What is missing for a run, as far as can be seen without loading it; empty for nothing.

    Args:
        run: learned, and searched with.
        composes: whether the method's own queries are composed then.
    """
    files = filter(None, (run.backbone.weights, run.triplets.file))
    lacking = [_not_there(file) for file in files if not file.exists()]
    own, trained = run.projections()
    for paths, method in (own, trained) if composes else (trained,):
        lacking += _lacking_projection(run, paths, method)
    return " and ".join(dict.fromkeys(lacking))


def _lacking_projection(run: Run, paths: Mapping[str, Path], method: Method) -> list[str]:
    if not method.needs_projection:
        return []
    try:
        path = projection_file(run.backbone, paths, method.name)
    except UsageError as error:
        return [str(error)]
    if path is None:
        return [f"no projection of {method.name} for {run.backbone.name} is named"]
    return [] if path.exists() else [_not_there(path)]


def projection_file(
    backbone: BackboneChoice, paths: Mapping[str, Path], method: str
) -> Path | None:
    """A method's projection: the one that is named for a backbone, or that the backbone brings.

    Raises:
        UsageError: the backbone brings projections, but none for this method.
    """
    source = backbone_source(backbone.model)
    return paths.get(backbone.name) or (source.projection(method) if source else None)


def _not_there(path: Path) -> str:
    unset = dict.fromkeys(f"${{{name}}}" for name in VARIABLE.findall(str(path)))
    hint = f" (set {', '.join(unset)})" if unset else ""
    return f"{path} is not there{hint}"
