"""Patches learned with one setting varied, and what each is worth; a killed sweep goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rtd_adapters.errors import FileError
from rtd_adapters.evaluation.diagnosis import R1, TEXT_R1
from rtd_adapters.evaluation.result import Diagnosis
from rtd_adapters.io.locks import claimed
from rtd_adapters.jobs.calibration import PictureFolder
from rtd_adapters.jobs.inputs import PatchJob
from rtd_adapters.jobs.patch import run_patch
from rtd_adapters.jobs.say import Say, silent
from rtd_adapters.patch import PatchMetadata, TextEncoderPatch
from rtd_adapters.training import RunOptions, TrainingSettings
from rtd_adapters.training.run_folder import has_checkpoint, remove_run

ABLATION: dict[str, dict[str, Any]] = {
    "whole": {},
    "no-refined-batch": {"refined_batch": False},
    "no-noise": {"noise_scale": 0.0},
    "text-for-token": {"concat": "text"},
}
"""RTD with one component taken out at a time."""
NOISE = "noise-"
"""Begins the names of a sweep over the noise."""


@dataclass(frozen=True)
class SweepRow:
    """One value, and the figures of the patch learned with it."""

    name: str
    before: dict[str, float]
    after: dict[str, float]


def noise_changes(scales: Iterable[float]) -> dict[str, dict[str, Any]]:
    """A sweep over the noise of the refined concatenation."""
    return {f"{NOISE}{scale:g}": {"noise_scale": scale} for scale in scales}


def run_sweep(
    job: PatchJob,
    changes: Mapping[str, Mapping[str, Any]],
    folder: Path,
    say: Say = silent,
) -> list[SweepRow]:
    """Learn a patch for each change of the settings, into `folder`/NAME.safetensors.

    A patch that is there already and was learned with just these settings is not learned again.

    Args:
        job: what all patches share; where it writes and how it is carried out are the sweep's.
        changes: name of each patch, and the settings that are its own.
        folder: where the patches go.
        say: told in a line what happens next.

    Raises:
        FileError: a file of that name holds another run's patch, or another sweep is at work.
        RtdError: as `run_patch`.
    """
    each = {name: replace(job.settings, **change) for name, change in changes.items()}
    with claimed(folder):
        return _rows(job, each, folder, say)


def _rows(
    job: PatchJob, each: Mapping[str, TrainingSettings], folder: Path, say: Say
) -> list[SweepRow]:
    rows = []
    for name, settings in each.items():
        own = replace(
            job,
            out=folder / f"{name}.safetensors",
            settings=settings,
            options=RunOptions(quiet=True),
        )
        learned = own.out.exists()
        say(f"{name}: {'learned before' if learned else 'learning'}")
        metadata = _learned_before(own) if learned else _learn(own)
        rows.append(SweepRow(name, metadata.figures["before"], metadata.figures["after"]))
    return rows


def reading(rows: Sequence[SweepRow]) -> Diagnosis:
    """A sweep's numbers, chart and sentence."""
    figures = {"before": rows[0].before[R1]} | {row.name: row.after[R1] for row in rows}
    sentence = _sentence(rows)
    if any(row.name in ABLATION for row in rows):
        return Diagnosis("ablation", figures, sentence, {})
    series = {"composed": _by_noise(rows, R1), "text to image": _by_noise(rows, TEXT_R1)}
    return Diagnosis("noise", figures, sentence, series, "noise scale", "recall@1, per cent")


def _sentence(rows: Sequence[SweepRow]) -> str:
    best, worst = max(rows, key=_recall), min(rows, key=_recall)
    return (
        f"{best.name} finds most, {_recall(best):.1f} %, and {worst.name} least, "
        f"{_recall(worst):.1f} %; before it was {rows[0].before[R1]:.1f} %. One seed: differences "
        "of a point or two mean nothing."
    )


def _recall(row: SweepRow) -> float:
    return row.after[R1]


def _by_noise(rows: Sequence[SweepRow], metric: str) -> list[tuple[float, float]]:
    """A curve over the noise, ascending."""
    return sorted((float(row.name.removeprefix(NOISE)), row.after[metric]) for row in rows)


def _learn(job: PatchJob) -> PatchMetadata:
    options = replace(job.options, resume=has_checkpoint(job.run_folder))
    return run_patch(replace(job, options=options)).metadata


def _learned_before(job: PatchJob) -> PatchMetadata:
    metadata = TextEncoderPatch.load(job.out).metadata
    settings = job.settings.to_dict()
    other = [name for name, value in settings.items() if metadata.training.get(name) != value]
    if metadata.projection.get("options", {}) != dict(job.method_options):
        other.append("method options")
    calibration = PictureFolder.found(job.calibrate).record() if job.calibrate else None
    if metadata.projection.get("calibration") != calibration:
        other.append("calibration")
    if other or metadata.method != job.method:
        raise FileError(
            f"{job.out} was learned with other settings ({', '.join(other[:3]) or 'method'}). "
            "Choose another --out."
        )
    remove_run(job.run_folder)  # a kill may have come between the patch and this
    return metadata
