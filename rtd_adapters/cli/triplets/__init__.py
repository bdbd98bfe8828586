"""`rtd triplets`: make triplets of captions, judge them, look at some."""

from __future__ import annotations

import click

from rtd_adapters.cli.triplets.check import check
from rtd_adapters.cli.triplets.llm import llm
from rtd_adapters.cli.triplets.rules import rules
from rtd_adapters.cli.triplets.sample import sample


@click.group()
def triplets() -> None:
    """Make triplets of captions, judge them, look at some.

    \b
    Example:
      rtd triplets rules captions.txt --out triplets.jsonl
    """


for command in (rules, llm, check, sample):
    triplets.add_command(command)
