"""`rtd reproduce`: experiments that a YAML file names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.terminal import echo, echo_json, saying

if TYPE_CHECKING:
    from rtd_adapters.jobs.reproduce.figures import Findings
    from rtd_adapters.jobs.reproduce.plan import Plan


@click.command()
@click.argument("config", type=options.FILE)
@click.option(
    "-o", "--out", type=options.FOLDER, required=True, help="Folder of patches, results and tables."
)
@options.device_option
@options.workers_option
@options.search_size_option
@options.jobs_option
@click.option(
    "--dry-run", is_flag=True, help="Say what would be done and what is missing; write nothing."
)
@options.json_option
@options.quiet_option
def reproduce(
    config: Path, out: Path, dry_run: bool, as_json: bool, quiet: bool, **given: Any
) -> None:
    """Do the experiments that the file CONFIG names, and make their tables.

    Patches are learned and benchmarks searched as far as weights and data are there; what is
    missing is skipped, and said. What is in --out already is not done again, so a killed command
    goes on. results.json, results.csv, results.tex and index.html are written there.

    \b
    Examples:
      rtd reproduce examples/reproduce/miniature.yaml --out miniature
      rtd reproduce examples/reproduce/paper.yaml --out paper --dry-run
    """
    from rtd_adapters.jobs.reproduce.config import read_config
    from rtd_adapters.jobs.reproduce.plan import make_plan

    read = read_config(config)
    if dry_run:
        plan = make_plan(read)
        if as_json:
            echo_json(_plan_values(plan))
        else:
            _show_plan(plan)
        return
    from rtd_adapters.jobs.reproduce.run import Means, reproduce as do

    means = Means(quiet=quiet or as_json, **given)
    say = saying(means.quiet)
    findings = do(read, out, means, say)
    if as_json:
        echo_json(findings.to_dict())
        return
    _show(findings, out)


def _plan_values(plan: Plan) -> dict[str, Any]:
    runs = [
        {"run": run.title, "benchmarks": [choice.name for choice in choices]}
        for run, choices in plan.searches.items()
    ]
    return {"runs": runs, "skipped": [vars(skipped) for skipped in plan.skipped]}


def _show_plan(plan: Plan) -> None:
    for run, choices in plan.searches.items():
        echo(f"would run {run.title}, on {', '.join(choice.name for choice in choices)}")
    searches = sum(map(len, plan.searches.values()))
    echo(f"{len(plan.searches)} patches, {searches} searches, less what is in --out already")
    _show_skipped(plan)


def _show(findings: Findings, out: Path) -> None:
    from rtd_adapters.jobs.reproduce.tables import shown, tables

    for table in tables(findings):
        echo(f"{table.experiment}, {table.benchmark}: {table.metrics[0]}, per cent")
        for names, spreads in table.rows:
            name = ", ".join(filter(None, (*names[:3], names[3] or "base")))
            echo(f"  {name:<50}  {shown(spreads[0])}")
    _show_skipped(findings)
    echo(f"{len(findings.found)} results: {out / 'index.html'}")


def _show_skipped(what: Plan | Findings) -> None:
    for skipped in what.skipped:
        echo(f"skipped in {skipped.experiment}: {skipped.what}: {skipped.why}", err=True)
