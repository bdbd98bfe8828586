"""`rtd data`: the folders in which benchmarks lie."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rtd_adapters.cli.options import data_option, json_option
from rtd_adapters.cli.terminal import echo, echo_json

if TYPE_CHECKING:
    from rtd_adapters.jobs.data import DataCheck

SHOWN = 20
"""Missing files that are printed; --json has them all."""


@click.group()
def data() -> None:
    """Look at the folders in which benchmarks lie.

    \b
    Example:
      rtd data check cirr --data CIRR
    """


@data.command()
@click.argument("benchmark")
@data_option
@click.option(
    "--split",
    type=click.Choice(["val", "test"]),
    default="val",
    show_default=True,
    help="test: where a server keeps the answers (cirr, circo).",
)
@json_option
@click.pass_context
def check(
    context: click.Context, benchmark: str, data: Path | None, split: str, as_json: bool
) -> None:
    """Say what a benchmark's folder lacks, and whether it is as large as it was published.

    BENCHMARK is one that `rtd plugins` lists, or `custom` for your own. Ends with 1 where files or
    pictures are missing. No picture is opened.

    \b
    Examples:
      rtd data check cirr --data CIRR --split test
      rtd data check custom --data shop
    """
    from rtd_adapters.jobs.data import check_data

    found = check_data(benchmark, data, split)
    if as_json:
        echo_json(asdict(found) | {"flags": found.flags})
    else:
        echo(*_lines(found))
    context.exit(1 if found.missing else 0)


def _lines(found: DataCheck) -> list[str]:
    missing = found.missing[:SHOWN]
    lines = [f"{found.benchmark}, {found.split}"]
    lines += [
        f"  {part.name or 'all':<10}  {part.pictures:>9,} pictures  {part.queries:>7,} queries"
        + ("" if part.published else "  (published size not known)")
        for part in found.parts
    ]
    if found.parts:
        lines.append(f"  {found.pictures:,} different pictures, galleries and references together")
    lines += [f"  missing  {name}" for name in missing]
    if more := len(found.missing) - len(missing):
        lines.append(f"  missing  and {more:,} more; --json lists them all")
    lines += [f"  mind     {flag}" for flag in found.flags]
    if not found.missing:
        lines.append("  nothing is missing")
    return lines
