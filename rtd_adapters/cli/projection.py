"""`rtd projection`: a method's projection trained, or its repository's checkpoint converted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.config import resolved
from rtd_adapters.cli.inversion import inversion_options, source_options
from rtd_adapters.cli.recipe import run_options
from rtd_adapters.cli.tables import before_after
from rtd_adapters.cli.terminal import echo, echo_json, saying

if TYPE_CHECKING:
    from rtd_adapters.jobs.projection import ProjectionJob, ProjectionResult


@click.group()
def projection() -> None:
    """Train a method's projection, or convert its repository's checkpoint to safetensors.

    \b
    Examples:
      rtd projection train --method lincir --captions captions.txt --out phi.pt \\
          --backbone ViT-B-32 --pretrained laion2b_s34b_b79k
      rtd projection convert SEARLE_ViT-L14.pt --method searle --backbone ViT-L-14 \\
          --out searle.safetensors
    """


@projection.command()
@click.argument("checkpoint", type=options.INPUT)
@options.method_option
@options.method_options_option
@click.option(
    "--backbone",
    required=True,
    help="The backbone it was trained for, as in `rtd patch`; only its sizes are looked up.",
)
@click.option("-o", "--out", type=options.FILE, required=True, help="The safetensors file.")
@options.overwrite_option
@options.json_option
def convert(
    checkpoint: Path,
    method: str,
    method_options: dict[str, str],
    backbone: str,
    out: Path,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write CHECKPOINT anew as safetensors, with its method and origin in the metadata.

    Of a method whose projection has several files, the method's options name the others, and
    what is written holds all of them.

    \b
    Example:
      rtd projection convert SEARLE_ViT-L14.pt --method searle --backbone ViT-L-14 \\
          --out searle.safetensors
    """
    from rtd_adapters.clip.backbones import backbone_shape
    from rtd_adapters.io.atomic import require_writable
    from rtd_adapters.io.locks import claimed
    from rtd_adapters.methods.installed import get_method
    from rtd_adapters.methods.projections import convert_projection

    with claimed(out):
        require_writable(out, overwrite=overwrite)
        metadata = convert_projection(
            get_method(method).configured(method_options),
            checkpoint,
            backbone_shape(backbone),
            backbone,
            out,
        )
    if as_json:
        echo_json({"file": str(out)} | metadata)
    else:
        echo(f"{out}: projection of {method} for {backbone}, from {checkpoint.name}")


@projection.command()
@options.method_option
@click.option(
    "-o",
    "--out",
    type=options.FILE,
    required=True,
    help="The projection, in the file format of the method's own repository; as safetensors where "
    "the name ends so.",
)
@source_options
@options.backbone_option
@options.pretrained_option
@options.method_options_option
@options.max_steps_option
@options.seed_option
@inversion_options
@run_options
@options.overwrite_option
@options.json_option
@options.quiet_option
def train(**given: Any) -> None:
    """Train a method's projection as its authors do, against any backbone.

    LinCIR learns from captions alone, Pic2Word from pictures alone, SEARLE from pictures and
    phrases with concepts; `rtd methods` says what a method learns from. Towers stay as they are.
    Unset hyperparameters are the published ones.

    \b
    Examples:
      rtd projection train --method lincir --captions captions.txt --out phi.pt \\
          --backbone ViT-B-32 --pretrained laion2b_s34b_b79k
      rtd projection train --method pic2word --images pictures --out pic2word.pt \\
          --backbone ViT-L-14 --pretrained openai
    """
    from rtd_adapters.compute.processes import launched
    from rtd_adapters.jobs.projection import train_projection
    from rtd_adapters.jobs.projection.plan import plan_projection

    as_json, dry_run, quiet = (given.pop(name) for name in ("as_json", "dry_run", "quiet"))
    silent = quiet or as_json or not launched().is_main
    job = _job(silent, **given)
    say = saying(silent)
    if dry_run:
        plan = plan_projection(job, say)
        if as_json:
            echo_json(plan.to_dict())
        else:
            echo(*(f"{name:<11} {value}" for name, value in plan.rows()))
        return
    result = train_projection(job, say)
    if launched().is_main:
        _show(result, as_json)


def _job(quiet: bool, **given: Any) -> ProjectionJob:
    from rtd_adapters.evaluation.inputs import EvalOptions
    from rtd_adapters.jobs.projection import ProjectionJob
    from rtd_adapters.jobs.projection.inputs import projection_settings
    from rtd_adapters.jobs.recipe import checkpoint_options
    from rtd_adapters.training import RunOptions
    from rtd_adapters.training.inversion import InversionSettings

    chosen = options.take_fields(InversionSettings, given)
    settings = projection_settings(given["method"], given["backbone"], **chosen)
    run = RunOptions(quiet=quiet, **checkpoint_options(options.take_fields(RunOptions, given)))
    viewing = EvalOptions(**options.take_fields(EvalOptions, given, prefix="image_"), quiet=quiet)
    kept = resolved(click.get_current_context())
    return ProjectionJob(settings=settings, options=run, viewing=viewing, given=kept, **given)


def _show(result: ProjectionResult, as_json: bool) -> None:
    record, about = result.run.record, result.about
    if as_json:
        echo_json(
            {"file": str(result.out), "steps": record.steps, "seconds": round(result.seconds, 2)}
            | about
        )
        return
    if record.texts_cut:
        echo(f"{record.texts_cut} texts were longer than the context and were cut.", err=True)
    if record.selected_step is not None:
        echo(f"kept step {record.selected_step}, the best on the chosen metric.", err=True)
    echo(*before_after(result.run.before, result.run.after))
    echo(
        "",
        f"{result.out}: projection of {about['method']} for {about['backbone']}, {record.steps} "
        f"steps on {result.run.things:,} {about['learns_from']} in {result.seconds:.0f} s",
    )
