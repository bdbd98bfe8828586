"""`rtd bench`: how fast a training step is on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from rtd_adapters.cli.options import json_option, quiet_option
from rtd_adapters.cli.terminal import echo, echo_json

if TYPE_CHECKING:
    from rtd_adapters.jobs.bench.cases import BenchRow


@click.command()
@click.option(
    "--backbone",
    "backbones",
    multiple=True,
    default=["ViT-B-32"],
    show_default=True,
    help="An open_clip model; its text tower's size is timed, with random weights. Repeatable.",
)
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(["full", "lora"]),
    multiple=True,
    default=["full", "lora"],
    show_default=True,
    help="Kind of patch; may be repeated.",
)
@click.option(
    "--batch-size", type=click.IntRange(1), default=32, show_default=True, help="Triplets a step."
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Steps of each engine, in turn; medians are printed.",
)
@json_option
@quiet_option
def bench(
    backbones: Sequence[str],
    kinds: Sequence[str],
    batch_size: int,
    rounds: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Time the fast training step against the reference step on this machine.

    The steps take turns, so a busy machine slows all of them; memory is measured in processes of
    their own. The matmul peak is that of fp32.

    \b
    Example:
      rtd bench --backbone ViT-B-32 --batch-size 32
    """
    from rtd_adapters.jobs.bench.machine import this_machine
    from rtd_adapters.jobs.bench.rounds import bench as run

    def say(line: str) -> None:
        if not quiet:
            echo(line, err=True)

    rows = list(run(backbones, kinds, batch_size, rounds, say))
    machine = this_machine()
    if as_json:
        echo_json({"machine": machine, "rows": [row.to_dict() for row in rows]})
        return
    echo(", ".join(f"{name} {value}" for name, value in machine.items()))
    echo(*_table(rows, machine["matmul_gflops"]))


def _table(rows: Sequence[BenchRow], peak: float) -> list[str]:
    lines = [
        "| backbone | batch | kind | engine | s a step | triplets/s | tokens/s | of matmul peak "
        "| data | times reference | peak MB |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    return lines + [
        f"| {row.case.backbone} | {row.case.batch_size} | {row.case.kind} | {row.case.label} "
        f"| {row.seconds_per_step:.2f} | {row.triplets_per_second:.1f} "
        f"| {row.tokens_per_second:,.0f} | {100 * row.gflops / peak:.0f} % "
        f"| {100 * row.data_share:.1f} % | {row.speedup:.1f} | {row.peak_memory_mb:,.0f} |"
        for row in rows
    ]
