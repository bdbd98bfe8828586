"""`rtd index`: one's own pictures, embedded and kept."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.terminal import echo, echo_json, saying

if TYPE_CHECKING:
    from rtd_adapters.search.index.building import Report

SHOWN = 10
"""Broken pictures that are named where --json is not asked for."""


@click.command("index")
@click.argument("source", metavar="FOLDER")
@click.option(
    "-o",
    "--out",
    type=options.FOLDER,
    help="Folder of the index.  [for demo: in $RTD_CACHE]",
)
@click.option(
    "--store",
    metavar="URL",
    help="Keep the index on a server instead: postgresql://HOST/DATABASE#NAME, a PostgreSQL with "
    "pgvector.",
)
@click.option(
    "--backbone",
    help="What embeds the pictures, as in `rtd eval`.  [the index's own; demo's for demo]",
)
@options.pretrained_option
@options.preprocess_option
@options.device_option
@options.workers_option
@options.search_size_option
@options.precision_option
@options.json_option
@options.quiet_option
def index(source: str, as_json: bool, quiet: bool, **given: Any) -> None:
    """Embed the pictures in FOLDER and below, and keep them for rtd search and rtd serve.

    Run it again to bring the index up to date: pictures that are new, changed or gone are found by
    size and time. A killed run goes on with the same command. FOLDER may be the name of a benchmark
    that needs no data: demo, the built-in world.

    \b
    Examples:
      rtd index demo
      rtd index ~/Pictures --out pictures.index --backbone ViT-L-14 --pretrained openai
    """
    from rtd_adapters.jobs.index import IndexJob, index_place, run_index
    from rtd_adapters.search.index.building import Looking

    quiet = quiet or as_json
    how = Looking(quiet=quiet, **options.take_fields(Looking, given))
    job = IndexJob(source, how=how, **given)
    say = saying(quiet)
    report = run_index(job, say)
    out = str(index_place(job.source, job.out, job.store))
    if as_json:
        echo_json(_record(report, out))
        return
    echo(f"{out}: {report.count:,} pictures ({_told(report)})")
    for broken in report.broken[:SHOWN]:
        echo(f"  left out: {broken.reason}")
    if len(report.broken) > SHOWN:
        echo(f"  and {len(report.broken) - SHOWN:,} more; --json names them all")
    echo("", f"Search them: rtd serve {shlex.quote(str(job.out or job.store or job.source))}")


def _told(report: Report) -> str:
    parts = [f"{report.new:,} new", f"{report.changed:,} changed", f"{report.gone:,} gone"]
    if report.broken:
        parts.append(f"{len(report.broken):,} that cannot be read")
    return ", ".join(parts)


def _record(report: Report, out: str) -> dict[str, Any]:
    broken = [{"id": one.id, "reason": one.reason} for one in report.broken]
    figures = {name: getattr(report, name) for name in ("count", "new", "changed", "gone")}
    return {"index": out, **figures, "seconds": round(report.seconds, 3), "broken": broken}
