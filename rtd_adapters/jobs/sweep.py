"""Patches learned with one setting varied, and what each is worth; a killed sweep goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rtd_adapters.clip.text import require_strength
from rtd_adapters.compute.at_once import at_once
from rtd_adapters.compute.processes import launched
from rtd_adapters.errors import FileError, UsageError
from rtd_adapters.evaluation.benchmark import load_benchmark
from rtd_adapters.io.locks import claimed
from rtd_adapters.io.names import stem
from rtd_adapters.io.options_file import keep_options
from rtd_adapters.jobs.evaluate import EvalJob
from rtd_adapters.jobs.inputs import PatchJob, trained_for
from rtd_adapters.jobs.judges import BenchmarkJudge, Judge, OwnJudge, SweepFigures
from rtd_adapters.jobs.ledger import Ledger, content_of, request_of, search_of
from rtd_adapters.jobs.patch import run_patch
from rtd_adapters.jobs.recipe import CHECKPOINT_MINUTES
from rtd_adapters.jobs.say import Say, silent
from rtd_adapters.jobs.slots import slots
from rtd_adapters.patch import TextEncoderPatch
from rtd_adapters.training import RunOptions
from rtd_adapters.training.run_folder import has_checkpoint, remove_run

WHOLE = "whole"
"""The patch learned with nothing changed."""
ABLATION: dict[str, dict[str, Any]] = {
    WHOLE: {},
    "no-refined-batch": {"refined_batch": False},
    "no-noise": {"noise_scale": 0.0},
    "text-for-token": {"concat": "text"},
}
"""RTD with one component taken out at a time."""
NOISE, STRENGTH, TRIPLETS = "noise-", "strength-", "triplets-"
"""Begin the names of a sweep over the noise, the strength, the triplets."""


@dataclass(frozen=True)
class SweepRow(SweepFigures):
    """One value, and the figures of the patch learned with it."""

    name: str = ""

    @classmethod
    def of(cls, name: str, figures: SweepFigures) -> SweepRow:
        """A value's figures, under its name."""
        return cls(figures.before, figures.after, figures.intervals, figures.queries, name)


@dataclass(frozen=True)
class _Value:
    """What is learned for a value, and at which strength it is judged."""

    name: str
    job: PatchJob
    strength: float


def noise_changes(scales: Iterable[float]) -> dict[str, dict[str, Any]]:
    """A sweep over the noise of the refined concatenation."""
    return {f"{NOISE}{scale:g}": {"noise_scale": scale} for scale in scales}


def strength_changes(strengths: Iterable[float]) -> dict[str, dict[str, Any]]:
    """A sweep over the strength of one patch, which is learned once."""
    return {f"{STRENGTH}{strength:g}": {"strength": strength} for strength in strengths}


def triplet_changes(sources: Iterable[str]) -> dict[str, dict[str, Any]]:
    """A sweep over triplets, such as files of several strategies; each is named by its file.

    Raises:
        UsageError: two files have the same name.
    """
    changes: dict[str, dict[str, Any]] = {}
    for source in sources:
        name = f"{TRIPLETS}{stem(Path(source).stem)}"
        if name in changes:
            raise UsageError(f"two sources of triplets are called {Path(source).stem}. Rename one.")
        changes[name] = {"triplets": source}
    return changes


def run_sweep(
    job: PatchJob,
    changes: Mapping[str, Mapping[str, Any]],
    folder: Path,
    say: Say = silent,
    searched: EvalJob | None = None,
    jobs: int = 1,
) -> list[SweepRow]:
    """Learn a patch for each change, into `folder`/NAME.safetensors, and take its figures.

    What is there already, learned or measured with just these settings, is not done again
    (`folder`/sweep.json), and a patch that was cut off goes on from its last checkpoint.

    Args:
        job: what all patches share; where it writes and how it is carried out are the sweep's, but
            for the device. `given` is kept in `folder`.
        changes: name of each value, and what is its own: fields of `TrainingSettings`, `triplets`,
            or `strength`, at which the patch learned without any change is judged.
        folder: where the patches go.
        say: told in a line what happens next.
        searched: the benchmark on which figures are taken; without it they are those of
            `run_patch`.
        jobs: values at once, as far as memory allows, each in a process of its own. Their files
            and figures are those of one at a time with as many threads. More than one want `if
            __name__ == "__main__":` in a script, as `multiprocessing` does.

    Raises:
        UsageError: several are asked for, and this process is one of several itself; or patches are
            learned with another method's projection, and the benchmark's queries need the method's
            own.
        FileError: the folder holds something of other settings, or another sweep is at work.
        RtdError: as `run_patch` and `run_eval`.
    """
    if jobs > 1 and launched().count > 1:
        raise UsageError("--jobs starts processes itself. Leave it out, or start without torchrun.")
    if searched:
        _require_own_projection(job, searched)
    values = [_value(job, name, change, folder) for name, change in changes.items()]
    with claimed(folder):
        ledger = Ledger.opened(folder)
        _begin(ledger, job, values, search_of(searched) if searched else {})
        keep_options(folder, job.given)
        left = [value for value in values if value.name not in ledger.found]
        for value in values:
            if value not in left:
                say(f"{value.name}: known")
        if min(jobs, len(left)) > 1:
            _several(left, ledger, searched, min(jobs, len(left)), say)
        else:
            judge = _judge(searched, say)
            for value in left:
                ledger.note(value.name, _figures(value, judge, say))
        return [SweepRow.of(value.name, ledger.found[value.name]) for value in values]


def _require_own_projection(job: PatchJob, searched: EvalJob) -> None:
    """Refuse before anything is learned what could not be searched afterwards."""
    method = job.chosen_method()
    borrowed = job.projection is not None and trained_for(method) is not method
    if not borrowed or searched.projection != job.projection:
        return
    if load_benchmark(searched.benchmark, searched.data).composes:
        raise UsageError(
            f"{method.name} reuses {method.reuses}'s projection to learn, and {searched.benchmark} "
            "is searched with its own. Choose a benchmark of plain captions, or learn with rtd "
            "patch and search with rtd eval, which take a --projection each."
        )


def _judge(searched: EvalJob | None, say: Say) -> Judge:
    return BenchmarkJudge(searched, say) if searched else OwnJudge(say)


def _several(
    left: Sequence[_Value], ledger: Ledger, searched: EvalJob | None, jobs: int, say: Say
) -> None:
    """Learn and judge values at once; figures are noted here alone, as they come."""
    free = slots(jobs, {left[0].name: (left[0].job, [searched] if searched else [])}, say)

    def note(name: str, figures: SweepFigures) -> None:
        ledger.note(name, figures)
        say(f"{name}: done, {sum(value.name in ledger.found for value in left)} of {len(left)}")

    # Of values that share a patch, one learns it, and the others come after.
    owners = {value.job.out: value for value in reversed(left) if not value.job.out.exists()}
    later = [value for value in left if owners.get(value.job.out, value) is not value]
    for values in ([value for value in left if value not in later], later):
        pieces = {value.name: (value, searched) for value in values}
        at_once(_figures_of, pieces, free, note, say)


def _figures_of(asked: tuple[_Value, EvalJob | None], say: Say) -> SweepFigures:
    """A value's figures, by a process of its own. What is to be known of the inputs has been said
    where memory was measured."""
    value, searched = asked
    if searched:  # bars of several would write over each other
        searched = replace(searched, options=replace(searched.options, quiet=True))
    return _figures(value, _judge(searched, silent), say)


def _begin(
    ledger: Ledger, job: PatchJob, values: Sequence[_Value], search: Mapping[str, Any]
) -> None:
    """Note what is asked; what is there must be an answer to just that.

    Raises:
        FileError: it is not.
    """
    shared = request_of(job)
    for value in values:
        out = value.job.out
        if out.exists() and out.name not in ledger.asked:
            raise FileError(f"{out} is no patch of this sweep. Choose another --out.")
        own = {"triplets": content_of(value.job.triplets), **value.job.settings.to_dict()}
        ledger.begin(out.name, {**shared, **own}, "learned")
        measured = {"strength": value.strength, "patch": out.name, **search}
        ledger.begin(value.name, measured, "measured")


def _value(job: PatchJob, name: str, change: Mapping[str, Any], folder: Path) -> _Value:
    settings = dict(change)
    strength = settings.pop("strength", None)
    triplets = settings.pop("triplets", job.triplets)
    own = replace(job.settings, **settings)
    if strength is not None:
        require_strength(strength)
    options = RunOptions(
        quiet=True, device=job.options.device, checkpoint_minutes=CHECKPOINT_MINUTES
    )
    file = f"{name if strength is None else WHOLE}.safetensors"
    learned = replace(
        job, out=folder / file, settings=own, triplets=triplets, options=options, given=""
    )
    return _Value(name, learned, 1.0 if strength is None else strength)


def _figures(value: _Value, judge: Judge, say: Say) -> SweepFigures:
    patch = _learned(value, say)
    say(f"{value.name}: taking figures")
    return judge.figures(value.job, patch, value.strength)


def _learned(value: _Value, say: Say) -> TextEncoderPatch:
    job = value.job
    if job.out.exists():
        say(f"{value.name}: learned before")
        remove_run(job.run_folder)  # a kill may have come between the patch and this
    else:
        say(f"{value.name}: learning")
        options = replace(job.options, resume=has_checkpoint(job.run_folder))
        run_patch(replace(job, options=options))
    return TextEncoderPatch.load(job.out)
