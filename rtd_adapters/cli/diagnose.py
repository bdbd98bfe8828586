"""`rtd diagnose`: what a patch changed besides the figures."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.terminal import echo, echo_json

NAMES = ("anchor-alignment", "modality-gap", "robustness", "strength")


@click.command()
@options.method_option
@click.option("-p", "--patch", type=options.FILE, required=True, help="A patch of the demo.")
@click.option(
    "--only", "names", multiple=True, type=click.Choice(NAMES), help="Ask only this; repeatable."
)
@click.option("-o", "--out", type=options.FILE, help="Write numbers and charts as HTML here.")
@options.overwrite_option
@options.json_option
def diagnose(
    method: str,
    patch: Path,
    names: tuple[str, ...],
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Ask what a patch did to anchors, the modality gap, robustness, and at lower strength.

    In the built-in world, whose captions and scenes are known.

    \b
    Example:
      rtd diagnose --method searle --patch weights.safetensors --out diagnosis.html
    """
    from rtd_adapters.evaluation.report.page import write_diagnoses
    from rtd_adapters.io.atomic import require_writable
    from rtd_adapters.io.locks import claimed
    from rtd_adapters.jobs.diagnose import diagnose as run

    with claimed(*filter(None, [out])):
        if out:
            require_writable(out, overwrite=overwrite)
        answers = run(method, patch, names)
        if out:
            write_diagnoses(answers, f"{method}: {patch.name}", out)
    if as_json:
        echo_json([asdict(one) for one in answers])
        return
    for one in answers:
        echo(f": {one.reading}", heading=one.name)
        for name, value in one.figures.items():
            echo(f"  {name:<36} {value:8.2f}")
