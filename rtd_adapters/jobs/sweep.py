"""Patches learned with one setting varied, and what each is worth; a killed sweep goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rtd_adapters.errors import FileError
from rtd_adapters.evaluation.diagnosis import R1, TEXT_R1
from rtd_adapters.evaluation.result import Diagnosis
from rtd_adapters.jobs.inputs import PatchJob
from rtd_adapters.jobs.patch import run_patch
from rtd_adapters.patch import PatchMetadata, TextEncoderPatch
from rtd_adapters.training import RunOptions

ABLATION: dict[str, dict[str, Any]] = {
    "whole": {},
    "no-refined-batch": {"refined_batch": False},
    "no-noise": {"noise_scale": 0.0},
    "text-for-token": {"concat": "text"},
}
"""RTD with one component taken out at a time."""


@dataclass(frozen=True)
class SweepRow:
    """One value, and the figures of the patch learned with it."""

    name: str
    before: dict[str, float]
    after: dict[str, float]


def noise_changes(scales: Iterable[float]) -> dict[str, dict[str, Any]]:
    """A sweep over the noise of the refined concatenation."""
    return {f"noise-{scale:g}": {"noise_scale": scale} for scale in scales}


def run_sweep(
    job: PatchJob,
    changes: Mapping[str, Mapping[str, Any]],
    folder: Path,
    say: Callable[[str], None] = lambda line: None,
) -> list[SweepRow]:
    """Learn a patch for each change of the settings, into `folder`/NAME.safetensors.

    A patch that is there already and was learned with just these settings is not learned again.

    Raises:
        FileError: a file of that name holds another run's patch.
        RtdError: as `run_patch`.
    """
    rows = []
    for name, change in changes.items():
        out = folder / f"{name}.safetensors"
        settings = replace(job.settings, **change)
        if out.exists():
            metadata = TextEncoderPatch.load(out).metadata
            _require_same(metadata, settings.to_dict(), job.method, out)
            say(f"{name}: learned before")
        else:
            say(f"{name}: learning")
            options = RunOptions(quiet=True, resume=(out.with_name(f"{out.name}.run")).exists())
            metadata = run_patch(replace(job, out=out, settings=settings, options=options)).metadata
        rows.append(SweepRow(name, metadata.figures["before"], metadata.figures["after"]))
    return rows


def reading(rows: Sequence[SweepRow]) -> Diagnosis:
    """A sweep's numbers, chart and sentence."""
    figures = {"before": rows[0].before[R1]} | {row.name: row.after[R1] for row in rows}
    best, worst = (pick(rows, key=lambda row: row.after[R1]) for pick in (max, min))
    sentence = (
        f"{best.name} finds most, {best.after[R1]:.1f} %, and {worst.name} least, "
        f"{worst.after[R1]:.1f} %; before it was {rows[0].before[R1]:.1f} %. One seed: differences "
        "of a point or two mean nothing."
    )
    scales = [row.name.removeprefix("noise-") for row in rows]
    if "whole" in scales:
        return Diagnosis("ablation", figures, sentence, {})
    series = {
        title: sorted(
            (float(scale), row.after[name]) for scale, row in zip(scales, rows, strict=True)
        )
        for title, name in (("composed", R1), ("text to image", TEXT_R1))
    }
    return Diagnosis("noise", figures, sentence, series, "noise scale", "recall@1, per cent")


def _require_same(
    metadata: PatchMetadata, settings: Mapping[str, Any], method: str, out: Path
) -> None:
    other = [name for name, value in settings.items() if metadata.training.get(name) != value]
    if other or metadata.method != method:
        raise FileError(
            f"{out} was learned with other settings ({', '.join(other[:3]) or 'method'}). "
            "Choose another --out."
        )
