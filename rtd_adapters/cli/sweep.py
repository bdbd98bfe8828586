"""`rtd sweep`: a patch for each value of a setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.config import resolved
from rtd_adapters.cli.recipe import optimisation_options
from rtd_adapters.cli.terminal import echo, echo_json

if TYPE_CHECKING:
    from rtd_adapters.jobs.evaluate import EvalJob
    from rtd_adapters.jobs.inputs import PatchJob
    from rtd_adapters.jobs.sweep import SweepRow

WORLD = ("recall@1", "recall@5", "text_to_image_recall@1")
HELD_OUT = ("anchor_recall@1", "anchor_recall@5", "caption_recall@1")
"""Columns of the table, where figures have such names; of others the first three."""


@click.command()
@options.method_option
@click.option("--noise-scale", "scales", help="Noise scales, as in 0,0.25,0.5,1.")
@click.option("--strength", "strengths", help="Strengths of one patch, as in 0,0.5,1.")
@click.option(
    "--strategy",
    "strategies",
    metavar="SOURCE",
    multiple=True,
    help="Triplets made by one strategy, in the place of --triplets; repeatable, a value each.",
)
@click.option(
    "--ablation", is_flag=True, help="RTD whole, and with one of its components taken out."
)
@options.backbone_option
@options.pretrained_option
@options.projection_option
@options.method_options_option
@options.stand_in_option
@click.option("--triplets", metavar="SOURCE", help="Text triplets, as in `rtd patch`.")
@click.option("--columns", metavar="FIELD=NAME,...", help="Their columns, as in `rtd patch`.")
@options.benchmark_option
@options.data_option
@options.extraction_options
@options.kind_option
@options.recipe_option
@optimisation_options
@options.seed_option
@options.max_steps_option
@options.jobs_option
@click.option("-o", "--out", type=options.FOLDER, required=True, help="Folder of the patches.")
@options.json_option
def sweep(
    scales: str | None,
    strengths: str | None,
    strategies: tuple[str, ...],
    ablation: bool,
    jobs: int,
    out: Path,
    as_json: bool,
    **given: Any,
) -> None:
    """Learn a patch for each value of one setting, and compare them.

    Figures are taken on --benchmark; without it in the backbone's own world, or on held-out
    triplets. What is in --out already is neither learned nor measured again, and a patch that was
    cut off goes on from its last checkpoint, so a killed sweep goes on. A page with a chart is
    written beside the patches (sweep.html). With --jobs several values are learned at once, on
    the GPUs in turn, as far as memory allows, which is measured first.

    \b
    Examples:
      rtd sweep --method searle --noise-scale 0,0.25,0.5,1 --out noise
      rtd sweep --method searle --ablation --jobs 2 --out ablation
      rtd sweep --method searle --strategy rules.jsonl --strategy llm.jsonl --backbone ViT-L-14 \\
          --pretrained openai --projection SEARLE_ViT-L14.pt --benchmark cirr --data CIRR --out s
    """
    from rtd_adapters.evaluation.report.page import write_diagnoses
    from rtd_adapters.jobs.sweep import (
        ABLATION,
        noise_changes,
        run_sweep,
        strength_changes,
        triplet_changes,
    )
    from rtd_adapters.jobs.sweep_reading import reading

    asked = {
        "--noise-scale": scales and noise_changes(_numbers(scales)),
        "--strength": strengths and strength_changes(_numbers(strengths)),
        "--strategy": strategies and triplet_changes(strategies),
        "--ablation": ablation and ABLATION,
    }
    chosen = [changes for changes in asked.values() if changes]
    if len(chosen) != 1:
        raise click.UsageError(f"Pass one of {', '.join(asked)}.")
    searched = _searched(quiet=as_json, **given)
    job = _job(out, strategies, **given)
    rows = run_sweep(job, chosen[0], out, lambda line: echo(line, err=True), searched, jobs)
    answer = reading(rows)
    where = given["benchmark"] or f"what {given['backbone']} is measured on by rtd patch"
    write_diagnoses([answer], f"{job.method}: {answer.name}", out / "sweep.html", where)
    if as_json:
        shown = ("name", "before", "after", "intervals")
        echo_json([{name: asdict(row)[name] for name in shown} for row in rows])
        return
    echo(*_table(rows), answer.reading)


def _searched(quiet: bool, benchmark: str | None, **given: Any) -> EvalJob | None:
    from rtd_adapters.evaluation.evaluate import EvalOptions
    from rtd_adapters.jobs.evaluate import EvalJob

    reading = ("workers", "precision", "skip_broken")
    if benchmark is None:
        if unused := options.set_among(("data", *reading)):
            raise click.UsageError(f"{unused[0]} needs --benchmark.")
        return None
    how = EvalOptions(quiet=quiet, **{name: given[name] for name in ("device", *reading)})
    shared = ("method", "data", "backbone", "pretrained", "projection")
    chosen = options.with_stand_in(given["method_options"], given["stand_in"])
    return EvalJob(
        benchmark=benchmark,
        method_options=chosen,
        options=how,
        **{name: given[name] for name in shared},
    )


def _job(out: Path, strategies: Sequence[str], **given: Any) -> PatchJob:
    from rtd_adapters.jobs.inputs import PatchJob
    from rtd_adapters.jobs.recipe import recipe_settings
    from rtd_adapters.training import RunOptions, TrainingSettings

    if strategies and given["triplets"]:
        raise click.UsageError("Pass either --triplets or --strategy.")
    chosen = options.take_fields(TrainingSettings, given)
    shared = ("backbone", "pretrained", "projection", "triplets", "columns", "kind", "recipe")
    return PatchJob(
        given["method"],
        out / "unused.safetensors",
        method_options=options.with_stand_in(given["method_options"], given["stand_in"]),
        settings=recipe_settings(given["backbone"], given["kind"], given["recipe"], **chosen),
        options=RunOptions(device=given["device"]),
        given=resolved(click.get_current_context()),
        **{name: given[name] for name in shared},
    )


def _table(rows: Sequence[SweepRow]) -> list[str]:
    """The values, in per cent."""
    before = rows[0].before
    shown = next((names for names in (WORLD, HELD_OUT) if before.keys() >= set(names)), None)
    columns = shown or tuple(before)[:3]
    width = max(len(row.name) for row in rows) + 2
    lines = [f"{'per cent':<{width}}  " + "  ".join(columns)]
    for name, figures in [("before", before), *((row.name, row.after) for row in rows)]:
        values = "  ".join(f"{figures[column]:{len(column)}.1f}" for column in columns)
        lines.append(f"{name:<{width}}  {values}")
    return lines


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no list of numbers such as 0,0.5,1") from error
