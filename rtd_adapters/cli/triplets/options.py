"""Options and arguments that several of the `rtd triplets` commands take."""

from __future__ import annotations

import click

from rtd_adapters.cli import options

SOURCES = (
    "a .json, .jsonl, .csv, .tsv or .txt file (also .gz, .bz2, .xz), .parquet, .arrow, a dataset's "
    "folder, hub:NAME@SPLIT, hf://datasets/owner/name/file, or - for standard input"
)

column_option = click.option("--column", help="Name of the caption column.  [caption or text]")
columns_option = click.option(
    "--columns",
    metavar="FIELD=NAME,...",
    help="Names of the three texts, as in reference=src,conditioning=edit,target=dst. The official "
    "and some other datasets' names are known.",
)
encoder_option = click.option(
    "--backbone",
    help="Text encoder that similarities are measured with: an open_clip name, a model-config "
    "JSON, a transformers folder, or `demo`.  [none]",
)
band_option = click.option(
    "--band",
    type=(options.FiniteNumber(), options.FiniteNumber()),
    default=(0.5, 0.99),
    show_default=True,
    metavar="LOW HIGH",
    help="Cosine between reference and target caption, under --backbone.",
)
kinds_option = click.option(
    "--kinds",
    type=options.FILE,
    help="Text file with words of your field, lines like `fabric adjective: tweed | satin, silk`.",
)
real_option = click.option(
    "--real",
    type=options.FiniteRange(0, 1),
    default=0.5,
    show_default=True,
    help="Share of captions for which another caption that differs in one attribute is looked for "
    "first, as a target in somebody's own words.",
)
per_caption_option = click.option(
    "--per-caption",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="At most so many triplets of one caption.",
)
