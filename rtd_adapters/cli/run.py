"""`rtd run`: an upstream script with a patch at work inside it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.terminal import echo


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "-p", "--patch", type=options.FILE, required=True, help="The patch to run the script with."
)
@options.strength_option
@click.option(
    "--force", is_flag=True, help="Patch text towers that the patch was not trained for, too."
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
def run(patch: Path, strength: float, force: bool, command: tuple[str, ...]) -> None:
    """Run an upstream script, unmodified, with a patch in every text encoder that it loads.

    COMMAND is `python SCRIPT ARGUMENTS`, run by the Python that rtd runs in. A line says where the
    patch went in; if it never did, that is an error.

    \b
    Example:
      rtd run --patch weights.safetensors -- python src/validate.py --eval-type searle \\
          --dataset cirr --dataset-path CIRR
    """
    from rtd_adapters.launcher import run_script
    from rtd_adapters.patch import TextEncoderPatch

    def say(line: str) -> None:
        echo(f"rtd: {line}", err=True)

    loaded = TextEncoderPatch.load(patch)
    sys.exit(run_script(command, loaded, say, strength=strength, force=force))
