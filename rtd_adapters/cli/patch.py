"""`rtd patch`: learn a patch and write it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.config import resolved
from rtd_adapters.cli.recipe import (
    lora_options,
    prefetch_option,
    run_options,
    training_options,
)
from rtd_adapters.cli.tables import before_after
from rtd_adapters.cli.terminal import echo, echo_json, saying

if TYPE_CHECKING:
    from rtd_adapters.jobs.inputs import PatchJob
    from rtd_adapters.jobs.patch import PatchResult
    from rtd_adapters.jobs.plan import Plan


@click.command()
@options.method_option
@click.option(
    "-o",
    "--out",
    type=options.FILE,
    required=True,
    help="The patch: a complete text tower in the method's own tensor names.",
)
@options.backbone_option
@options.pretrained_option
@options.projection_option
@options.method_options_option
@options.stand_in_option
@options.calibrate_option
@click.option(
    "--triplets",
    metavar="SOURCE",
    help="Text triplets: JSON with reference_caption, conditioning_caption and target_caption, or "
    "any other source that `rtd triplets check` reads. The demo brings its own.",
)
@click.option(
    "--columns",
    metavar="FIELD=NAME,...",
    help="Other names of the triplets' columns: reference=src,conditioning=edit,target=dst.",
)
@options.kind_option
@options.recipe_option
@click.option(
    "--dtype",
    type=click.Choice(["fp32", "bf16", "fp16"]),
    default="fp32",
    show_default=True,
    help="Precision of the file. Half precision rounds most of a small change away; what "
    "survives is printed.",
)
@click.option(
    "--adapter-out",
    type=options.FOLDER,
    help="Also write the LoRA factors in PEFT's own format, named for transformers.",
)
@click.option("--card", is_flag=True, help="Write a model card, README.md, beside the patch.")
@options.max_steps_option
@options.seed_option
@training_options
@lora_options
@run_options
@prefetch_option
@options.overwrite_option
@options.json_option
@options.quiet_option
def patch(**given: Any) -> None:
    """Learn a patch of a CLIP text encoder from text triplets (RTD, arXiv 2406.09188).

    Without --backbone it runs in the built-in miniature world: real code on a toy, done in about
    a minute on a laptop.

    \b
    Examples:
      rtd patch --method searle --out weights.safetensors
      rtd patch --method searle --kind lora --out lora.safetensors
      rtd patch --method searle --backbone ViT-L-14 --pretrained openai \\
          --projection SEARLE_ViT-L14.pt --triplets triplets.json --out weights.safetensors
    """
    from rtd_adapters.compute.processes import launched
    from rtd_adapters.jobs.patch import run_patch
    from rtd_adapters.jobs.plan import plan_patch

    as_json, dry_run, quiet = (given.pop(name) for name in ("as_json", "dry_run", "quiet"))
    silent = quiet or as_json or not launched().is_main
    job = _job(quiet=silent, **given)
    say = saying(silent)
    if job.source and job.source.notice:
        for line in job.source.notice.splitlines():
            say(line.format(method=job.method))
    if dry_run:
        _show_plan(plan_patch(job, say), as_json)
        return
    result = run_patch(job, say)
    if launched().is_main:
        _show(result, as_json)


def _job(**given: Any) -> PatchJob:
    from rtd_adapters.jobs.inputs import PatchJob
    from rtd_adapters.jobs.recipe import checkpoint_options, recipe_settings
    from rtd_adapters.patch.lora import LoRASettings
    from rtd_adapters.training import RunOptions, TrainingSettings

    stand_in = given.pop("stand_in")
    given["method_options"] = options.with_stand_in(given["method_options"], stand_in)
    chosen = options.take_fields(TrainingSettings, given)
    settings = recipe_settings(given["backbone"], given["kind"], given["recipe"], **chosen)
    run = RunOptions(**checkpoint_options(options.take_fields(RunOptions, given)))
    lora = LoRASettings(**options.take_fields(LoRASettings, given, prefix="lora_"))
    card = given["out"].with_name("README.md") if given.pop("card") else None
    context = click.get_current_context()
    given["command"] = shlex.join(["rtd", *(context.obj or ())])
    given["given"] = resolved(context)
    return PatchJob(settings=settings, options=run, lora=lora, card=card, **given)


def _show(result: PatchResult, as_json: bool) -> None:
    metadata = result.metadata
    if as_json:
        echo_json(
            {
                "file": str(result.out),
                "method": metadata.method,
                "backbone": metadata.backbone,
                "kind": metadata.kind,
                "recipe": metadata.recipe,
                "before": result.before,
                "after": result.after,
                "steps": result.record.steps,
                "seconds": round(result.seconds, 2),
                "fingerprint": metadata.fingerprint,
                "base_fingerprint": metadata.base_fingerprint,
                "surviving_share": result.surviving,
                "merge_difference": result.merge_difference,
                "texts_cut": result.record.texts_cut,
                "texts_cleaned": result.record.texts_cleaned,
            }
        )
        return
    for line in _notes(result):
        echo(line, err=True)
    echo(*before_after(result.before, result.after))
    echo(
        "",
        f"{result.out}: {metadata.kind} patch of {metadata.backbone} for {metadata.method}, "
        f"{result.record.steps} steps in {result.seconds:.0f} s",
    )


def _notes(result: PatchResult) -> list[str]:
    notes = []
    if result.record.texts_cut:
        notes.append(f"{result.record.texts_cut} texts were longer than the context and were cut.")
    if result.record.texts_cleaned:
        notes.append(f"{result.record.texts_cleaned} texts held a placeholder, which was removed.")
    if result.record.anchor_error:
        notes.append(f"{result.record.anchor_error}.")
    if result.merge_difference is not None:
        notes.append(f"merged against adapter outputs: {result.merge_difference:.1e} at most")
    if result.surviving is not None:
        dtype = result.metadata.dtype
        notes.append(f"{100 * result.surviving:.0f} % of the change survives rounding to {dtype}.")
    if result.record.selected_step is not None:
        notes.append(f"kept step {result.record.selected_step}, the best on the chosen metric.")
    return notes


def _show_plan(plan: Plan, as_json: bool) -> None:
    if as_json:
        echo_json(plan.to_dict())
        return
    for name, value in plan.rows():
        echo(f"{name:<11} {value}")
