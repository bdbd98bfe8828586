"""`rtd triplets rules`: triplets by swapping words."""

from __future__ import annotations

from pathlib import Path

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.triplets.options import (
    SOURCES,
    band_option,
    column_option,
    encoder_option,
    per_caption_option,
)
from rtd_adapters.cli.triplets.progress import note, note_made, watch


@click.command(epilog=f"CAPTIONS is {SOURCES}.")
@click.argument("captions")
@click.option("-o", "--out", type=options.FILE, required=True, help="JSON lines to write.")
@column_option
@encoder_option
@options.pretrained_option
@band_option
@click.option(
    "--keywords",
    type=click.Choice(["spacy", "word-list"]),
    help="What finds the words to swap.  [spacy where it is installed]",
)
@per_caption_option
@click.option(
    "--min-count",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Leave out words that occur less often.",
)
@click.option(
    "--vocabulary",
    type=click.IntRange(2),
    default=5000,
    show_default=True,
    help="Use so many words, the most frequent ones.",
)
@options.seed_option
@options.overwrite_option
@options.quiet_option
def rules(
    captions: str,
    out: Path,
    column: str | None,
    backbone: str | None,
    pretrained: str | None,
    band: tuple[float, float],
    keywords: str | None,
    overwrite: bool,
    quiet: bool,
    **settings: int,
) -> None:
    """Make triplets by swapping words of CAPTIONS for others of the same captions.

    A run that broke off goes on when the same command is given again.
    """
    from rtd_adapters.triplets.encoder import caption_encoder
    from rtd_adapters.triplets.keywords import keyword_finder
    from rtd_adapters.triplets.rules import RuleSettings, rule_triplets

    if backbone is None:
        note("No --backbone: words are swapped whatever their similarity.", quiet)
    counts = rule_triplets(
        captions,
        out,
        RuleSettings(band=band, **settings),
        column=column,
        finder=keyword_finder(keywords),
        embed=caption_encoder(backbone, pretrained),
        encoder=backbone and f"{backbone} {pretrained}",
        overwrite=overwrite,
        watch=watch(quiet),
    )
    note_made(out, counts.triplets, counts.captions, counts.dropped, quiet)
