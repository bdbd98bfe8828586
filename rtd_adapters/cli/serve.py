"""`rtd serve`: a page over an index, in a browser."""

from __future__ import annotations

from typing import Any

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.searching import index_argument, inputs_options, take_inputs
from rtd_adapters.cli.terminal import echo, saying


@click.command()
@index_argument
@inputs_options
@options.strength_option
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Where to listen. Everybody who reaches another address sees the pictures.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8765,
    show_default=True,
    help="0 takes any that is free.",
)
@click.option(
    "--allow-host",
    "allow_hosts",
    metavar="NAME",
    multiple=True,
    help="A name that the server is called by, beside its addresses and localhost. Repeatable.",
)
@options.quiet_option
def serve(quiet: bool, **given: Any) -> None:
    """Show INDEX in a browser: before and after side by side, on a page of this machine.

    INDEX is what `rtd index` made, or `demo`, the built-in world. The page and the JSON API behind
    it (/openapi.json) are answered to this machine alone, unless --host says otherwise. Nothing is
    fetched from a network. Ctrl-C ends it.

    \b
    Examples:
      rtd serve demo
      rtd serve demo --patch weights.safetensors
      rtd serve photos.index --patch weights.safetensors --projection SEARLE_ViT-L14.pt
    """
    from rtd_adapters.jobs.serve import ServeJob, run_serve

    job = ServeJob(inputs=take_inputs(given), **given)
    run_serve(job, saying(quiet), echo)
