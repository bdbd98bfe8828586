"""`rtd triplets sample`: some triplets, to look at."""

from __future__ import annotations

import shutil

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.terminal import echo, echo_json
from rtd_adapters.cli.triplets.options import SOURCES, columns_option


@click.command(epilog=f"FILE is {SOURCES}.")
@click.argument("file")
@columns_option
@click.option(
    "-n", "--number", type=click.IntRange(1), default=10, show_default=True, help="How many."
)
@options.seed_option
@options.json_option
def sample(file: str, columns: str | None, number: int, seed: int, as_json: bool) -> None:
    """Print some triplets of FILE, drawn at random."""
    import random

    from rtd_adapters.triplets import read_triplets
    from rtd_adapters.triplets.checking.quality_report import as_table
    from rtd_adapters.triplets.columns import parse_columns
    from rtd_adapters.triplets.sources import as_dict

    triplets = read_triplets(file, parse_columns(columns) if columns else None)
    places = random.Random(seed).sample(range(len(triplets)), min(number, len(triplets)))
    drawn = [triplets[place] for place in places]
    if as_json:
        echo_json([as_dict(triplet) for triplet in drawn])
    else:
        echo(*as_table(drawn, shutil.get_terminal_size((100, 24)).columns))
