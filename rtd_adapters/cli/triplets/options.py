"""Options and arguments that several of the `rtd triplets` commands take."""

from __future__ import annotations

import click

SOURCES = (
    "a .json, .jsonl, .csv, .tsv or .txt file (also .gz, .bz2, .xz), .parquet, .arrow, a dataset's "
    "folder, hub:NAME@SPLIT, or - for standard input"
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
