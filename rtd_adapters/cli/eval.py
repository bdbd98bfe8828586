"""`rtd eval`: a benchmark before and after."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.config import resolved
from rtd_adapters.cli.terminal import echo, echo_json, saying
from rtd_adapters.cli.ways import ways_table

if TYPE_CHECKING:
    from pathlib import Path

    from rtd_adapters.evaluation.result import Result
    from rtd_adapters.jobs.evaluate import EvalJob
    from rtd_adapters.jobs.say import Say


@click.command("eval")
@options.method_option
@click.option(
    "--benchmark",
    default="demo",
    show_default=True,
    help="What is searched, as `rtd plugins` lists them; docs/evaluation.md has each one's files "
    "and protocol.",
)
@options.data_option
@click.option(
    "-p", "--patch", type=options.FILE, help="The patch to compare the base encoder with."
)
@options.backbone_option
@options.pretrained_option
@options.composing_projection_option
@options.method_options_option
@click.option(
    "--split",
    type=click.Choice(["val", "test"]),
    default="val",
    show_default=True,
    help="test: write what the server takes into --out (cirr, circo).",
)
@options.strength_option
@options.preprocess_option
@options.search_size_option
@click.option(
    "--also-strength",
    "also_strengths",
    type=options.FiniteNumber(),
    multiple=True,
    help="A further column: the patch at this strength. Repeatable.",
)
@click.option(
    "--captions-benchmark",
    "captions",
    metavar="NAME",
    help="Plain captions to search besides, such as demo-captions: a product's ways to search with "
    "the patch are shown in one table.",
)
@click.option(
    "--captions-data", type=options.FOLDER, help="The folder in which that benchmark was unpacked."
)
@click.option(
    "--rivals",
    is_flag=True,
    help="Ask the same queries by training-free rivals too: picture, text, their sum, Slerp, and "
    "PDV on top of base and of patched.",
)
@options.extraction_options
@click.option(
    "--cache/--no-cache",
    default=True,
    show_default=True,
    help="Keep picture embeddings in $RTD_CACHE, where a killed command finds what it had done.",
)
@click.option(
    "-o",
    "--out",
    type=options.FOLDER,
    help="Write result.json, for rtd report, and submissions here.",
)
@click.option("--csv", "csv_file", type=options.FILE, help="Write the figures as a table here.")
@options.overwrite_option
@options.json_option
@options.quiet_option
def evaluate(
    split: str,
    captions: str | None,
    captions_data: Path | None,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Search a benchmark with the base encoder and with a patched one.

    \b
    Examples:
      rtd eval --method searle --patch weights.safetensors
      rtd eval --method searle --patch weights.safetensors --captions-benchmark demo-captions \\
          --also-strength 0.5
      rtd eval --method searle --benchmark cirr --data CIRR --backbone ViT-L-14 \\
          --pretrained openai --projection SEARLE_ViT-L14.pt --patch weights.safetensors --out run

    On several GPUs: torchrun --nproc-per-node 4 -m rtd_adapters eval ... The pictures are shared
    out, and the first process searches, prints and writes.
    """
    from rtd_adapters.compute.processes import launched
    from rtd_adapters.evaluation.evaluate import EvalOptions
    from rtd_adapters.jobs.evaluate import EvalJob, run_eval, run_submission

    how = EvalOptions(
        quiet=quiet or as_json or not launched().is_main, **options.take_fields(EvalOptions, given)
    )
    job = EvalJob(options=how, given=resolved(click.get_current_context()), **given)
    say = saying(how.quiet)
    if captions_data and not captions:
        raise click.UsageError("--captions-data needs --captions-benchmark.")
    if captions:
        if split == "test":
            raise click.UsageError("--captions-benchmark has figures, and --split test none.")
        _show_ways(job, captions, captions_data, say, as_json)
        return
    if split == "test":
        for path in run_submission(job, say):
            echo(f"wrote {path}")
        return
    result = run_eval(job, say)
    if result is None:  # the first process prints it
        return
    if as_json:
        every_query = ("queries", "values")
        shown = {n: value for n, value in result.to_dict().items() if n not in every_query}
        echo_json(shown)
        return
    echo(*_table(result))
    if job.out:
        echo("", f"See them: rtd report {shlex.quote(str(job.out))} --out report.html")


def _show_ways(job: EvalJob, captions: str, data: Path | None, say: Say, as_json: bool) -> None:
    from rtd_adapters.jobs.evaluate import run_ways

    ways = run_ways(job, captions, data, say)
    if ways is None:  # the first process prints it
        return
    if as_json:
        echo_json(ways.to_dict())
        return
    echo(*ways_table(ways))
    if job.out:
        runs = " ".join(shlex.quote(str(folder)) for folder in (job.out, job.out / "captions"))
        echo("", f"All metrics: rtd report {runs} --ways --out ways.html")


def _table(result: Result) -> list[str]:
    width = max(map(len, result.base))
    if result.patched is None:
        head = f"{'per cent':<{width}}  {'base':>7}"
        lines = [head, *(f"{n:<{width}}  {v:7.2f}" for n, v in result.base.items())]
        return lines + _columns(result, width)
    head = f"{'per cent':<{width}}  {'base':>7}  {'patched':>7}  {'change':>7}"
    lines = [f"{head}  {'95 % interval':<18}  p"]
    for name, old in result.base.items():
        new, (low, high) = result.patched[name], result.intervals[name]
        lines.append(
            f"{name:<{width}}  {old:7.2f}  {new:7.2f}  {new - old:+7.2f}  "
            f"{f'{low:+.2f} to {high:+.2f}':<18}  {result.p_values[name]:.4f}"
        )
    return lines + _columns(result, width)


def _columns(result: Result, width: int) -> list[str]:
    """The further columns as a table of their own, and what each is."""
    if not result.columns:
        return []
    wide = {name: max(7, len(name)) for name in result.columns}
    lines = ["", "  ".join([f"{'per cent':<{width}}", *(f"{n:>{w}}" for n, w in wide.items())])]
    for metric in result.base:
        found = [f"{c.figures[metric]:{wide[name]}.2f}" for name, c in result.columns.items()]
        lines.append("  ".join([f"{metric:<{width}}", *found]))
    return [*lines, "", *(f"{name}: {column.about}" for name, column in result.columns.items())]
