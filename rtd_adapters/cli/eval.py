"""`rtd eval`: a benchmark before and after."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtd_adapters.cli import options

if TYPE_CHECKING:
    from rtd_adapters.evaluation.benchmark import Benchmark
    from rtd_adapters.evaluation.result import Result

RESULT = "result.json"
SUBMISSIONS = ("recall.json", "recall_subset.json", "circo.json")


@click.command("eval")
@options.method_option
@click.option(
    "--benchmark",
    default="demo",
    show_default=True,
    help="What is searched, as `rtd plugins` lists them; docs/evaluation.md has each one's files "
    "and protocol.",
)
@click.option("--data", type=options.FOLDER, help="The folder in which the benchmark was unpacked.")
@click.option(
    "-p", "--patch", type=options.FILE, help="The patch to compare the base encoder with."
)
@options.backbone_option
@options.pretrained_option
@options.projection_option
@click.option(
    "--split",
    type=click.Choice(["val", "test"]),
    default="val",
    show_default=True,
    help="test: write what the server takes into --out (cirr, circo).",
)
@click.option(
    "--strength",
    type=float,
    default=1.0,
    show_default=True,
    help="Of the patch: 0 is the base encoder, 1 the patched one.",
)
@click.option(
    "--preprocess",
    type=click.Choice(["clip", "targetpad"]),
    default="clip",
    show_default=True,
    help="The backbone's own image transform, or padding first, as SEARLE does by default.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Pictures, and queries, at a time.",
)
@click.option(
    "--cache/--no-cache",
    default=True,
    show_default=True,
    help="Keep picture embeddings in $RTD_CACHE.",
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
    method: str,
    benchmark: str,
    data: Path | None,
    patch: Path | None,
    backbone: str,
    pretrained: str | None,
    projection: Path | None,
    split: str,
    strength: float,
    preprocess: str,
    batch_size: int,
    cache: bool,
    out: Path | None,
    csv_file: Path | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Search a benchmark with the base encoder and with a patched one.

    \b
    Examples:
      rtd eval --method searle --patch weights.safetensors
      rtd eval --method searle --benchmark cirr --data CIRR --backbone ViT-L-14 \\
          --pretrained openai --projection SEARLE_ViT-L14.pt --patch weights.safetensors --out run
    """
    from rtd_adapters.evaluation.evaluate import EvalOptions, compare, prepare, submit
    from rtd_adapters.io.atomic import require_writable
    from rtd_adapters.patch import TextEncoderPatch

    if split == "test" and out is None:
        raise click.UsageError("--split test writes a submission; name its folder with --out.")
    names = SUBMISSIONS if split == "test" else (RESULT,)
    for path in filter(None, (csv_file, *(out / name for name in names if out))):
        require_writable(path, overwrite=overwrite)
    chosen = EvalOptions(preprocess, strength, batch_size, cache, quiet or as_json)
    loaded = TextEncoderPatch.load(patch) if patch else None
    evaluation = prepare(
        method=method,
        benchmark=benchmark,
        data=data,
        split=split,
        backbone=backbone,
        pretrained=pretrained,
        projection=projection,
        options=chosen,
    )
    if split == "test":
        for path in submit(evaluation, loaded, out):
            click.echo(f"wrote {path}")
        return
    result = compare(evaluation, loaded)
    if out:
        _keep(result, evaluation.benchmark, out)
    if csv_file:
        _write_csv(result.records(), csv_file)
    click.echo(_json(result) if as_json else _table(result))
    if out and not as_json:
        click.echo(f"\nSee them: rtd report {out} --out report.html")


def _keep(result: Result, benchmark: Benchmark, out: Path) -> None:
    """What `rtd report` reads."""
    from rtd_adapters.evaluation.report.strips import choose, keep_pictures, pictures_of

    keep_pictures(benchmark, pictures_of(choose(result)), out)
    result.save(out / RESULT)


def _json(result: Result) -> str:
    shown = {name: value for name, value in result.to_dict().items() if name != "queries"}
    return json.dumps(shown, indent=2)


def _table(result: Result) -> str:
    width = max(map(len, result.base))
    if result.patched is None:
        lines = [f"{'per cent':<{width}}  {'base':>7}"]
        return "\n".join([*lines, *(f"{n:<{width}}  {v:7.2f}" for n, v in result.base.items())])
    lines = [f"{'per cent':<{width}}  {'base':>7}  {'patched':>7}  {'change':>7}  95 % interval"]
    for name, old in result.base.items():
        new, (low, high) = result.patched[name], result.intervals[name]
        lines.append(
            f"{name:<{width}}  {old:7.2f}  {new:7.2f}  {new - old:+7.2f}  {low:+.2f} to {high:+.2f}"
        )
    return "\n".join(lines)


def _write_csv(records: list[dict[str, Any]], path: Path) -> None:
    from rtd_adapters.io.atomic import whole_file

    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]))
    writer.writeheader()
    writer.writerows(records)
    with whole_file(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
