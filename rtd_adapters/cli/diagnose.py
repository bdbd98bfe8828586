"""`rtd diagnose`: what a patch changed besides the figures."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.terminal import echo, echo_json, saying

if TYPE_CHECKING:
    from rtd_adapters.evaluation.result import Diagnosis

NAMES = ("anchor-alignment", "modality-gap", "robustness", "strength")


@click.command()
@options.method_option
@click.option("-p", "--patch", type=options.FILE, required=True, help="What is asked about.")
@options.benchmark_option
@options.data_option
@options.split_option
@click.option(
    "--triplets",
    metavar="SOURCE",
    help="Texts for what the benchmark has no captions for; the first 1,000 are taken.",
)
@options.backbone_option
@options.pretrained_option
@options.composing_projection_option
@options.method_options_option
@options.extraction_options
@click.option(
    "--only", "names", multiple=True, type=click.Choice(NAMES), help="Ask only this; repeatable."
)
@click.option("-o", "--out", type=options.FILE, help="Write numbers and charts as HTML here.")
@options.overwrite_option
@options.json_option
def diagnose(
    method: str,
    patch: Path,
    benchmark: str | None,
    names: tuple[str, ...],
    out: Path | None,
    overwrite: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Ask what a patch did to anchors, the modality gap, robustness, and at lower strength.

    On a benchmark, every figure with its interval; without --benchmark, in the world that the
    backbone brings, whose captions and scenes are known.

    \b
    Examples:
      rtd diagnose --method searle --patch weights.safetensors --out diagnosis.html
      rtd diagnose --method searle --benchmark cirr --data CIRR --backbone ViT-L-14 \\
          --pretrained openai --projection SEARLE_ViT-L14.pt --triplets triplets.json \\
          --patch weights.safetensors --out diagnosis.html
    """
    from contextlib import nullcontext

    from rtd_adapters.compute.processes import launched
    from rtd_adapters.evaluation.report.page import write_diagnoses
    from rtd_adapters.io.atomic import require_writable
    from rtd_adapters.io.locks import claimed

    main = launched().is_main
    with claimed(out) if out and main else nullcontext():
        if out:
            require_writable(out, overwrite=overwrite)
        if benchmark is None:
            where, answers = "the built-in world", _in_world(method, patch, names, **given)
        else:
            where = f"{benchmark}, {given['split']} split, {given['backbone']}"
            answers = _on_benchmark(method, patch, benchmark, names, quiet=as_json, **given)
        if out and main:
            write_diagnoses(answers, f"{method}: {patch.name}", out, where)
    _show(answers, as_json)


def _in_world(method: str, patch: Path, names: tuple[str, ...], **given: Any) -> list[Diagnosis]:
    from rtd_adapters.jobs.diagnose import diagnose as run

    backbone = given.pop("backbone")
    if unused := options.set_among(given):
        raise click.UsageError(f"{unused[0]} needs --benchmark.")
    return run(method, patch, names, backbone)


def _on_benchmark(
    method: str, patch: Path, benchmark: str, names: tuple[str, ...], quiet: bool, **given: Any
) -> list[Diagnosis]:
    from rtd_adapters.compute.processes import launched
    from rtd_adapters.evaluation.evaluate import EvalOptions
    from rtd_adapters.jobs.diagnose import diagnose_benchmark
    from rtd_adapters.jobs.evaluate import EvalJob

    quiet = quiet or not launched().is_main
    split, triplets = given.pop("split"), given.pop("triplets")
    how = EvalOptions(quiet=quiet, **options.take_fields(EvalOptions, given))
    job = EvalJob(method, benchmark, patch=patch, options=how, **given)
    say = saying(quiet)
    return diagnose_benchmark(job, names, split=split, triplets=triplets, say=say) or []


def _show(answers: list[Diagnosis], as_json: bool) -> None:
    if as_json:
        echo_json([asdict(one) for one in answers])
        return
    for one in answers:
        echo(f": {one.reading}", heading=one.name)
        for unit, figures in one.by_unit().items():
            places = 2 if unit in ("per cent", "points") else 3
            for name, value in figures.items():
                ends = one.intervals.get(name)
                within = f"  {ends[0]:.{places}f} to {ends[1]:.{places}f}" if ends else ""
                echo(f"  {name:<36} {value:8.{places}f} {unit}{within}")
