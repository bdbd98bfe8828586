"""The file that names experiments: what it may hold, read strictly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from rtd_adapters.errors import UsageError
from rtd_adapters.evaluation.benchmark import get_benchmark
from rtd_adapters.evaluation.inputs import EvalOptions
from rtd_adapters.evaluation.pictures import require_preprocessing
from rtd_adapters.io.entries import Entry
from rtd_adapters.io.yaml_files import read_yaml
from rtd_adapters.jobs.recipe import RECIPES
from rtd_adapters.jobs.reproduce.fields import (
    REMEDY,
    distinct,
    named,
    path_in,
    require_keys,
    text_or,
    texts_by_name,
    values_of,
)
from rtd_adapters.methods.installed import get_method
from rtd_adapters.methods.method import REUSE, Method
from rtd_adapters.patch import TextEncoderPatch
from rtd_adapters.patch.metadata import PAPER
from rtd_adapters.training import TrainingSettings
from rtd_adapters.triplets.columns import parse_columns

OWN = "own"
"""Triplets that a backbone brings with it, as the built-in world's does."""
SECTIONS = ("backbones", "methods", "triplets", "trainings", "benchmarks")
SETTINGS = tuple(f.name for f in fields(TrainingSettings) if f.name != "seed")
SEARCH = ("preprocess", "strength", "precision", "skip_broken")
"""Fields of `EvalOptions` that change a figure."""


@dataclass(frozen=True)
class BackboneChoice:
    """A backbone, under the file's name for it."""

    name: str
    model: str
    """As `--backbone` takes it."""
    tag: str | None = None
    """Of weights that open_clip has or fetches."""
    weights: Path | None = None
    """A file of weights instead."""

    @property
    def pretrained(self) -> str | None:
        """As `--pretrained` takes it."""
        return str(self.weights) if self.weights else self.tag


@dataclass(frozen=True)
class MethodChoice:
    """A method with its options and its projections."""

    name: str
    method: str
    options: Mapping[str, str] = field(default_factory=dict, hash=False)
    projections: Mapping[str, Path] = field(default_factory=dict, hash=False)
    """By the backbones' names."""
    training_projections: Mapping[str, Path] = field(default_factory=dict, hash=False)
    """What training sees instead, where the method reuses another's."""

    def configured(self) -> Method:
        """The installed method, with these options."""
        return get_method(self.method).configured(self.options)

    def trained_with(self) -> Mapping[str, Path]:
        """The projections that training sees."""
        reuses = self.configured().stand_in == REUSE
        return self.training_projections if reuses else self.projections


@dataclass(frozen=True)
class TripletChoice:
    """A source of triplets; without a file, what the backbone brings."""

    name: str
    file: Path | None = None
    columns: str | None = None


@dataclass(frozen=True)
class TrainingChoice:
    """What a training changes in a recipe."""

    name: str
    kind: str = "full"
    recipe: str = PAPER
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class BenchmarkChoice:
    """A benchmark, where it lies, and how it is searched."""

    name: str
    benchmark: str
    data: Path | None = None
    search: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Fields of `EvalOptions`."""


@dataclass(frozen=True)
class Experiment:
    """A grid: everything in one list with everything in the others."""

    name: str
    methods: tuple[str, ...]
    backbones: tuple[str, ...]
    triplets: tuple[str, ...]
    trainings: tuple[str, ...]
    benchmarks: tuple[str, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Config:
    """A file of experiments, whole and checked; every section by its names."""

    path: Path
    title: str
    backbones: Mapping[str, BackboneChoice]
    methods: Mapping[str, MethodChoice]
    triplets: Mapping[str, TripletChoice]
    trainings: Mapping[str, TrainingChoice]
    benchmarks: Mapping[str, BenchmarkChoice]
    experiments: tuple[Experiment, ...]


def read_config(path: Path) -> Config:
    """Read a file of experiments. Whether what it names is there is another question (`plan`).

    Raises:
        FileError: the file is missing or no YAML, a key is unknown, missing or of another type, or
            names what is not there; file and key are named.
    """
    entry = Entry(str(path), read_yaml(path), REMEDY)
    require_keys(entry, ("title", *SECTIONS, "experiments"))
    here = path.parent
    backbones = {name: _backbone(name, body, here) for name, body in named(entry, "backbones")}
    sections: dict[str, Mapping[str, Any]] = {
        "backbones": backbones,
        "methods": {n: _method(n, body, here, backbones) for n, body in named(entry, "methods")},
        "triplets": {n: _triplets(n, body, here) for n, body in named(entry, "triplets")}
        | {OWN: TripletChoice(OWN)},
        "trainings": {name: _training(name, body) for name, body in named(entry, "trainings")},
        "benchmarks": {n: _benchmark(n, body, here) for n, body in named(entry, "benchmarks")},
    }
    experiments = tuple(_experiment(n, body, sections) for n, body in named(entry, "experiments"))
    if not experiments:
        entry.refuse("'experiments' names none")
    return Config(path, text_or(entry, "title", path.stem), experiments=experiments, **sections)


def _backbone(name: str, entry: Entry, here: Path) -> BackboneChoice:
    require_keys(entry, ("model", "folder", "pretrained", "weights"))
    if "folder" in entry and len(entry.value) > 1:
        entry.refuse("a 'folder' holds its own weights; take the other keys out")
    if "pretrained" in entry and "weights" in entry:
        entry.refuse("it has both 'pretrained', a tag, and 'weights', a file")
    if "folder" in entry:
        return BackboneChoice(name, str(path_in(entry, "folder", here)))
    model = text_or(entry, "model", name)
    if model.endswith(".json"):
        model = str(path_in(entry, "model", here))
    tag = entry.text("pretrained") if "pretrained" in entry else None
    weights = path_in(entry, "weights", here) if "weights" in entry else None
    return BackboneChoice(name, model, tag, weights)


def _method(
    name: str, entry: Entry, here: Path, backbones: Mapping[str, BackboneChoice]
) -> MethodChoice:
    require_keys(entry, ("method", "options", "projections", "training_projections"))
    projections, training = (
        _paths(entry, section, here, backbones)
        for section in ("projections", "training_projections")
    )
    method = text_or(entry, "method", name)
    choice = MethodChoice(name, method, texts_by_name(entry, "options"), projections, training)
    try:
        reuses = choice.configured().stand_in == REUSE
    except UsageError as error:
        entry.refuse(str(error).rstrip("."))
    if training and not reuses:
        entry.refuse("'training_projections' is for the option stand_in: reuse alone")
    return choice


def _paths(
    entry: Entry, section: str, here: Path, backbones: Mapping[str, BackboneChoice]
) -> dict[str, Path]:
    if section not in entry:
        return {}
    inside = entry.entry(section)
    require_keys(inside, backbones)
    return {name: path_in(inside, name, here) for name in inside}


def _triplets(name: str, entry: Entry, here: Path) -> TripletChoice:
    require_keys(entry, ("file", "columns"))
    if name == OWN:
        entry.refuse(f"{OWN!r} stands for triplets that a backbone brings; take another name")
    columns = entry.text("columns") if "columns" in entry else None
    _checked(entry, lambda: columns and parse_columns(columns))
    return TripletChoice(name, path_in(entry, "file", here), columns)


def _training(name: str, entry: Entry) -> TrainingChoice:
    if "seed" in entry:
        entry.refuse("'seed' has its place in an experiment's 'seeds'")
    require_keys(entry, ("kind", "recipe", *SETTINGS))
    kind, recipe = text_or(entry, "kind", "full"), text_or(entry, "recipe", PAPER)
    for word, known, what in ((kind, TextEncoderPatch.kinds, "kind"), (recipe, RECIPES, "recipe")):
        if word not in known:
            entry.refuse(f"{what!r} is {word!r}; there are {', '.join(known)}")
    settings = values_of(entry, TrainingSettings, SETTINGS)
    _checked(entry, lambda: TrainingSettings(**settings))
    return TrainingChoice(name, kind, recipe, settings)


def _benchmark(name: str, entry: Entry, here: Path) -> BenchmarkChoice:
    require_keys(entry, ("benchmark", "data", *SEARCH))
    benchmark = text_or(entry, "benchmark", name)
    source = _checked(entry, lambda: get_benchmark(benchmark))
    if source.needs_data != ("data" in entry):
        entry.refuse(
            "it lacks 'data', the folder in which it was unpacked"
            if source.needs_data
            else f"{benchmark} lies in no folder; take 'data' out"
        )
    data = path_in(entry, "data", here) if source.needs_data else None
    search = values_of(entry, EvalOptions, SEARCH)
    options = _checked(entry, lambda: EvalOptions(**search))
    _checked(entry, lambda: require_preprocessing(options.preprocess))
    return BenchmarkChoice(name, benchmark, data, search)


def _experiment(name: str, entry: Entry, sections: Mapping[str, Mapping[str, Any]]) -> Experiment:
    require_keys(entry, (*SECTIONS, "seeds"))
    lists = {section: distinct(entry, section, sections[section]) for section in SECTIONS}
    seeds = entry.numbers("seeds")
    if not seeds or len(set(seeds)) < len(seeds):
        entry.refuse("'seeds' is empty, or names one twice")
    for seed in seeds:
        if type(seed) is not int:
            entry.refuse(f"'seeds' holds {seed}, where whole numbers belong")
        _checked(entry, lambda seed=seed: TrainingSettings(seed=seed))
    return Experiment(name, seeds=tuple(map(int, seeds)), **lists)


def _checked(entry: Entry, check: Any) -> Any:
    """What a check gives; what it refuses is said with its place."""
    try:
        return check()
    except UsageError as error:
        entry.refuse(str(error).rstrip("."))
