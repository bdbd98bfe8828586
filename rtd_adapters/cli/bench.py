"""`rtd bench`: how fast a training step is on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from rtd_adapters.cli.options import FiniteRange, json_option, quiet_option
from rtd_adapters.cli.terminal import echo, echo_json, saying

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
    help="Steps of each engine, in turn, at most; medians are printed.",
)
@click.option(
    "--minutes",
    type=FiniteRange(0, min_open=True),
    default=5.0,
    show_default=True,
    help="Time that all of it may take. Every case is tried first; what would not fit is left out.",
)
@json_option
@quiet_option
def bench(
    backbones: Sequence[str],
    kinds: Sequence[str],
    batch_size: int,
    rounds: int,
    minutes: float,
    as_json: bool,
    quiet: bool,
) -> None:
    """Time the fast training step against the reference step on this machine.

    The steps take turns on the same data, so a busy machine slows all of them; the load before
    and after is printed. Memory is measured in processes of their own. The matmul peak is that of
    fp32. Precisions that this CPU only emulates are left out.

    \b
    Example:
      rtd bench --backbone ViT-B-32 --batch-size 32
    """
    from rtd_adapters.jobs.bench.budget import Budget
    from rtd_adapters.jobs.bench.machine import load, this_machine
    from rtd_adapters.jobs.bench.rounds import bench as run

    say = saying(quiet)
    budget, before = Budget.of(60 * minutes), load()
    machine = this_machine()
    found = run(backbones, kinds, batch_size, rounds, budget, say)
    peak = max(machine["matmul_gflops"], this_machine()["matmul_gflops"])
    machine |= {"matmul_gflops": peak, "load_before": before, "load_after": load()}
    if as_json:
        rows = [row.to_dict() for row in found.rows]
        echo_json({"machine": machine, "rows": rows, "left_out": found.left_out})
        return
    echo(", ".join(f"{name} {value}" for name, value in machine.items()))
    echo(*_table(found.rows, machine["matmul_gflops"]))
    if found.left_out:
        echo(*(f"left out: {title}: {why}" for title, why in found.left_out.items()))


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
        f"| {100 * row.data_share:.1f} % | {_times(row.speedup)} | {row.peak_memory_mb:,.0f} |"
        for row in rows
    ]


def _times(speedup: float | None) -> str:
    return "-" if speedup is None else f"{speedup:.1f}"
