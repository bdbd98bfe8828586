"""`rtd doctor`: what a checkout or checkpoint is, what to type, what goes wrong."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from rtd_adapters.cli.options import json_option
from rtd_adapters.cli.terminal import echo, echo_json


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@json_option
def doctor(path: Path, as_json: bool) -> None:
    """Look at an upstream checkout or a checkpoint and say what fits it.

    PATH is the folder of a checkout, a checkpoint file or a transformers folder. Nothing in it is
    run.

    \b
    Examples:
      rtd doctor ~/SEARLE
      rtd doctor pic2word_large.pt
    """
    from rtd_adapters.doctor import examine

    finding = examine(path)
    if as_json:
        echo_json({"path": str(path)} | asdict(finding))
        return
    echo(f"{path}: {finding.what}")
    for name, value in (("method", finding.method), ("layout", finding.layout)):
        if value:
            echo(f"  {name}  {value}")
    for command in finding.commands:
        echo(f"  type    {command}")
    for trap in finding.traps:
        echo(*click.wrap_text(trap, 90, "  mind    ", "          ").splitlines())
