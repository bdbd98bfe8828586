"""`rtd adapt`: captions to projection to triplets to patch."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.config import resolved
from rtd_adapters.cli.recipe import MIXED_PRECISION, NOISE
from rtd_adapters.cli.tables import before_after
from rtd_adapters.cli.terminal import echo, echo_json, saying
from rtd_adapters.cli.triplets.options import (
    SOURCES,
    band_option,
    column_option,
    kinds_option,
    per_caption_option,
    real_option,
)
from rtd_adapters.cli.triplets.progress import watch

if TYPE_CHECKING:
    from rtd_adapters.jobs.adapt import AdaptJob, AdaptResult

INVERSION = "projection_"
"""What the options of the projection's training begin with."""
SHARED = ("noise", "mixed_precision", "seed")
"""Settings that both trainings have."""


@click.command(epilog=f"CAPTIONS is {SOURCES}; not standard input.")
@click.option("--captions", metavar="CAPTIONS", required=True, help="Captions to learn from.")
@click.option("-o", "--out", type=options.FOLDER, required=True, help="Folder of what is made.")
@click.option(
    "-m",
    "--method",
    default="lincir",
    show_default=True,
    shell_complete=options.complete_methods,
    help="A method whose projection learns from captions, as `rtd methods` says.",
)
@options.backbone_option
@options.pretrained_option
@options.method_options_option
@column_option
@click.option(
    "--keywords",
    type=click.Choice(["spacy", "word-list"]),
    help="What finds the keywords to mask.  [spacy where it is installed]",
)
@click.option(
    "--projection-steps",
    type=click.IntRange(0),
    help="Optimiser steps of the projection.  [published: 20,000; demo: 1,500]",
)
@click.option(
    "--projection-batch-size",
    type=click.IntRange(1),
    help="Captions a step.  [published: 512; demo: 128]",
)
@click.option(
    "--projection-chunk-size",
    type=click.IntRange(1),
    help="Of these, embedded at a time, to bound memory.  [all]",
)
@band_option
@kinds_option
@real_option
@per_caption_option
@options.kind_option
@options.recipe_option
@options.max_steps_option
@click.option("--batch-size", type=int, help="Triplets a step.  [the recipe's]")
@click.option("--chunk-size", type=int, help="Of these, embedded at a time.  [all]")
@NOISE
@MIXED_PRECISION
@options.seed_option
@options.device_option
@options.json_option
@options.quiet_option
def adapt(**given: Any) -> None:
    """Learn a projection and a patch from captions alone.

    A projection is trained on the captions, triplets are made of them by rule, and a patch is
    learned with both. --out gets projection.pt, in the format of the method's repository,
    triplets.jsonl, weights.safetensors and a card, README.md. The same command goes on with what
    was cut off. `rtd projection train`, `rtd triplets rules` and `rtd patch` take one step each,
    and have all options.

    \b
    Examples:
      rtd adapt --captions captions.txt --out adapted
      rtd adapt --captions captions.txt --backbone ViT-B-32 --pretrained laion2b_s34b_b79k \\
          --out adapted
    """
    from rtd_adapters.jobs.adapt import run_adapt

    as_json, quiet = given.pop("as_json"), given.pop("quiet")
    silent = quiet or as_json
    job = _job(silent, **given)
    say = saying(silent)
    _show(run_adapt(job, say, watch(silent)), as_json)


def _job(quiet: bool, **given: Any) -> AdaptJob:
    from rtd_adapters.jobs.adapt import AdaptJob
    from rtd_adapters.jobs.projection.inputs import projection_settings
    from rtd_adapters.jobs.recipe import recipe_settings
    from rtd_adapters.training import TrainingSettings
    from rtd_adapters.training.inversion import InversionSettings
    from rtd_adapters.triplets.rules.settings import RuleSettings

    shared = {name: given[name] for name in SHARED if given[name] is not None}
    rules = RuleSettings(
        per_caption=given.pop("per_caption"),
        band=given.pop("band"),
        real=given.pop("real"),
        seed=given["seed"],
    )
    inversion = options.take_fields(InversionSettings, given, prefix=INVERSION)
    chosen = options.take_fields(TrainingSettings, given)
    backbone, context = given["backbone"], click.get_current_context()
    return AdaptJob(
        inversion=projection_settings(given["method"], backbone, **shared | inversion),
        rules=rules,
        settings=recipe_settings(backbone, given["kind"], given["recipe"], **chosen),
        quiet=quiet,
        command=shlex.join(["rtd", *(context.obj or ())]),
        given=resolved(context),
        **given,
    )


def _show(result: AdaptResult, as_json: bool) -> None:
    if as_json:
        echo_json({**asdict(result), "folder": str(result.folder)})
        return
    projection, triplets, patch = result.projection, result.triplets, result.patch
    echo(
        f"projection: {projection['steps']:,} steps on {projection['learned_from']:,} captions",
        *before_after(**projection["figures"]),
        "",
        f"triplets: {triplets['triplets']:,} of {triplets['captions']:,} captions",
        "",
        f"patch: {patch['steps']:,} steps",
        *before_after(**patch["figures"]),
        "",
        f"{result.folder}: projection.pt, triplets.jsonl, weights.safetensors, README.md",
    )
