"""`rtd report`: an evaluation, or several beside each other, as one HTML file."""

from __future__ import annotations

from pathlib import Path

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.terminal import echo


@click.command()
@click.argument("runs", metavar="RUN...", type=options.FOLDER, nargs=-1, required=True)
@click.option("-o", "--out", type=options.FILE, required=True, help="The HTML file.")
@click.option(
    "--training",
    type=options.FILE,
    help="A metrics.jsonl of `rtd patch --run-dir`, for the training curves.  [RUN/metrics.jsonl]",
)
@click.option(
    "--ways",
    is_flag=True,
    help="Of two runs, of composed queries and of plain captions: a product's ways to search with "
    "their patch, in one table.",
)
@options.overwrite_option
def report(
    runs: tuple[Path, ...], out: Path, training: Path | None, ways: bool, overwrite: bool
) -> None:
    """Show what `rtd eval --out RUN` found: figures, curves, and queries before and after.

    Several runs of one benchmark are compared: figures with intervals, and which of them differ.
    The file needs no network and nothing beside it.

    \b
    Examples:
      rtd report run --out report.html
      rtd report paper balanced --out comparison.html
      rtd report run run/captions --ways --out ways.html
    """
    from rtd_adapters.evaluation.report.page import write_comparison, write_report, write_ways
    from rtd_adapters.io.atomic import require_writable
    from rtd_adapters.io.locks import claimed

    if training and len(runs) > 1:
        raise click.UsageError("--training is of one run, and there are several.")
    if ways and len(runs) != 2:
        raise click.UsageError(
            "--ways is of two runs: that of composed queries, and that of plain captions."
        )
    with claimed(out):
        require_writable(out, overwrite=overwrite)
        if ways:
            write_ways(runs[0], runs[1], out)
            what = "ways to search with a patch"
        elif len(runs) > 1:
            write_comparison(runs, out)
            what = f"{len(runs)} results"
        else:
            what = f"{write_report(runs[0], out, training)} queries"
    echo(f"{out}: {what}, {out.stat().st_size / 1e6:.1f} MB")
