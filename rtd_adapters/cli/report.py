"""`rtd report`: an evaluation as one HTML file."""

from __future__ import annotations

from pathlib import Path

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.terminal import echo


@click.command()
@click.argument("run", type=options.FOLDER)
@click.option("-o", "--out", type=options.FILE, required=True, help="The HTML file.")
@click.option(
    "--training",
    type=options.FILE,
    help="A metrics.jsonl of `rtd patch --run-dir`, for the training curves.  [RUN/metrics.jsonl]",
)
@options.overwrite_option
def report(run: Path, out: Path, training: Path | None, overwrite: bool) -> None:
    """Show what `rtd eval --out RUN` found: figures, curves, and queries before and after.

    The file needs no network and nothing beside it.

    \b
    Example:
      rtd report run --out report.html
    """
    from rtd_adapters.evaluation.report.page import write_report
    from rtd_adapters.io.atomic import require_writable
    from rtd_adapters.io.locks import claimed

    with claimed(out):
        require_writable(out, overwrite=overwrite)
        shown = write_report(run, out, training)
    echo(f"{out}: {shown} queries, {out.stat().st_size / 1e6:.1f} MB")
