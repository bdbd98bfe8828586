"""Options of the commands that search one's own pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rtd_adapters.cli import options

if TYPE_CHECKING:
    from rtd_adapters.jobs.search import SearchInputs

index_argument = click.argument("index")
inputs_options = options.together(
    click.option(
        "-p",
        "--patch",
        type=options.FILE,
        help="For composed queries. Plain texts go through the base tower.",
    ),
    click.option(
        "-m",
        "--method",
        shell_complete=options.complete_methods,
        help="Composed-image-retrieval method, as `rtd methods` lists them.  [the patch's own]",
    ),
    options.composing_projection_option,
    options.method_options_option,
    click.option(
        "--backbone",
        help="As in `rtd index`; it has to see pictures as the index's does.  [the index's own]",
    ),
    options.pretrained_option,
    options.device_option,
    options.precision_option,
)
"""What searches: a backbone, a method, a patch."""


def take_inputs(given: dict[str, Any]) -> SearchInputs:
    """Take out of `given` what `SearchInputs` holds."""
    from rtd_adapters.jobs.search import SearchInputs

    return SearchInputs(**options.take_fields(SearchInputs, given))
