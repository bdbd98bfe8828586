"""`rtd triplets check`: whether triplets are fit to train on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.terminal import echo, echo_json
from rtd_adapters.cli.triplets.options import SOURCES, columns_option, encoder_option, kinds_option
from rtd_adapters.cli.triplets.progress import note, watch

UNFIT_EXIT = 1


@click.command(epilog=f"FILE is {SOURCES}.")
@click.argument("file")
@columns_option
@encoder_option
@options.pretrained_option
@kinds_option
@click.option("--html", type=options.FILE, help="Write a report with histograms and samples.")
@click.option(
    "--fix",
    type=options.FILE,
    help="Write a clean copy: whole triplets that are new, in Latin letters and changed by their "
    "text, without placeholders.",
)
@click.option(
    "--drop-faults",
    is_flag=True,
    help="With --fix: leave out triplets that make no sense too, each judged by itself.",
)
@options.seed_option
@options.json_option
@options.overwrite_option
@options.quiet_option
def check(
    file: str,
    html: Path | None,
    fix: Path | None,
    as_json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Judge the triplets in FILE: good, uniform, doubtful or unfit (exit code 1), with reasons.

    Whether triplets make sense is judged on a random sample of 2,000, by what the references of
    FILE say together and how they use words.

    A text is too long if the --backbone cuts it; without one, if it has over 77 tokens.
    """
    from rtd_adapters.jobs.check import CheckJob, run_check
    from rtd_adapters.triplets.checking.quality_report import as_dict, as_text
    from rtd_adapters.triplets.checking.verdict import UNFIT

    job = CheckJob(file, html=html, fix=fix, **settings)
    checked = run_check(job, watch(quiet))
    measures, verdict = checked.measures, checked.verdict
    if as_json:
        echo_json(as_dict(measures, verdict))
    else:
        echo(*as_text(measures, verdict))
    if html:
        note(f"wrote {html}", quiet)
    if fix:
        note(f"wrote {fix}: {checked.kept:,} of {measures.rows:,} rows", quiet)
    if verdict.word == UNFIT:
        sys.exit(UNFIT_EXIT)
