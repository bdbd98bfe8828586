"""`rtd search`: one question to an index."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.searching import index_argument, inputs_options, take_inputs
from rtd_adapters.cli.terminal import echo, echo_json, saying

if TYPE_CHECKING:
    from rtd_adapters.jobs.search import SearchJob
    from rtd_adapters.search.questions import Answer, Found


@click.command()
@index_argument
@click.option("-i", "--image", type=options.FILE, help="The reference picture.")
@click.option("--entry", default="", metavar="ID", help="A picture of the index as the reference.")
@click.option("-t", "--text", default="", help="What is different, or, without a picture, shown.")
@click.option(
    "-k", type=click.IntRange(1), default=10, show_default=True, help="Results of each column."
)
@inputs_options
@options.strength_option
@click.option(
    "--compare",
    is_flag=True,
    help="Base, patched, a strength between, and the rivals sum and Slerp side by side.",
)
@click.option(
    "--also-strength",
    "also_strengths",
    type=options.FiniteNumber(),
    multiple=True,
    help="With --compare: a column of the patch at this strength. Repeatable.  [0.5]",
)
@click.option(
    "--html", type=options.FILE, help="Write what was found as a page, small pictures included."
)
@options.overwrite_option
@options.json_option
@options.quiet_option
def search(as_json: bool, quiet: bool, **given: Any) -> None:
    """Search the pictures of INDEX with a picture, a text, or both.

    INDEX is what `rtd index` made, or `demo`, the built-in world. A picture and a text are a
    composed query, by the patched text tower; a text alone goes through the base tower, a picture
    alone through the image tower.

    \b
    Examples:
      rtd search demo --text "two red stars"
      rtd search photos.index --image dress.jpg --text "is sleeveless" --patch weights.safetensors
      rtd search demo --entry 7 --text "is blue" --patch weights.safetensors --compare
    """
    from rtd_adapters.jobs.search import SearchJob, run_search

    job = SearchJob(inputs=take_inputs(given), **given)
    say = saying(quiet or as_json)
    answer = run_search(job, say)
    if as_json:
        echo_json(_record(answer, job))
        return
    if answer.prompt:
        echo(f"asked as: {answer.prompt}", "")
    echo(*_table(answer.found))
    if len(answer.found) > 1:
        echo("", *(f"{found.column.name}: {found.column.about}" for found in answer.found))
    if job.html:
        echo("", f"wrote {job.html}")


def _record(answer: Answer, job: SearchJob) -> dict[str, Any]:
    return {
        "index": job.inputs.index,
        "kind": answer.kind,
        "prompt": answer.prompt,
        "columns": [found.record() for found in answer.found],
    }


def _table(columns: tuple[Found, ...]) -> list[str]:
    """A line per place; of each column the score and the id."""
    cells = [[f"{hit.score:.3f}  {hit.id}" for hit in found.hits] for found in columns]
    names = [found.column.name for found in columns]
    rows = list(zip_longest(*cells, fillvalue=""))
    wide = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    places = ["", *map(str, range(1, len(rows) + 1))]
    return [
        "  ".join([f"{place:>3}", *(f"{c:<{w}}" for c, w in zip(row, wide, strict=True))]).rstrip()
        for place, row in zip(places, [names, *rows], strict=True)
    ]
