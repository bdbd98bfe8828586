"""`rtd sweep`: a patch for each value of a setting."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.terminal import echo, echo_json


@click.command()
@options.method_option
@click.option("--noise-scale", "scales", help="Noise scales, as in 0,0.25,0.5,1.")
@click.option(
    "--ablation", is_flag=True, help="RTD whole, and with one of its components taken out."
)
@options.stand_in_option
@options.kind_option
@options.recipe_option
@options.seed_option
@options.max_steps_option
@click.option("-o", "--out", type=options.FOLDER, required=True, help="Folder of the patches.")
@options.json_option
def sweep(
    method: str,
    scales: str | None,
    ablation: bool,
    stand_in: str | None,
    kind: str,
    recipe: str,
    seed: int,
    steps: int | None,
    out: Path,
    as_json: bool,
) -> None:
    """Learn a patch in the built-in world for each value, and compare them.

    What is in --out already is not learned again, so a killed sweep goes on. A page with a chart is
    written beside the patches (sweep.html).

    \b
    Examples:
      rtd sweep --method searle --noise-scale 0,0.25,0.5,1 --out noise
      rtd sweep --method searle --ablation --out ablation
    """
    from rtd_adapters.clip.backbones import DEFAULT
    from rtd_adapters.evaluation.report.page import write_diagnoses
    from rtd_adapters.jobs.inputs import PatchJob
    from rtd_adapters.jobs.recipe import recipe_settings
    from rtd_adapters.jobs.sweep import ABLATION, noise_changes, reading, run_sweep

    if (scales is None) != ablation:
        raise click.UsageError("Pass either --noise-scale or --ablation.")
    changes = ABLATION if ablation else noise_changes(_numbers(scales or ""))
    chosen = {"seed": seed} | ({} if steps is None else {"steps": steps})
    settings = recipe_settings(DEFAULT, kind, recipe, **chosen)
    job = PatchJob(
        method,
        out / "unused.safetensors",
        method_options=options.with_stand_in({}, stand_in),
        kind=kind,
        settings=settings,
        recipe=recipe,
    )
    rows = run_sweep(job, changes, out, lambda line: echo(line, err=True))
    answer = reading(rows)
    write_diagnoses([answer], f"{method}: {answer.name}", out / "sweep.html")
    if as_json:
        echo_json([asdict(row) for row in rows])
        return
    echo(f"{'per cent':<18}  {'R@1':>6}  {'R@5':>6}  {'text to image R@1':>17}")
    for name, figures in [("before", rows[0].before), *((row.name, row.after) for row in rows)]:
        shown = (figures[n] for n in ("recall@1", "recall@5", "text_to_image_recall@1"))
        first, fifth, text = shown
        echo(f"{name:<18}  {first:6.1f}  {fifth:6.1f}  {text:17.1f}")
    echo(answer.reading)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no list of numbers such as 0,0.5,1") from error
