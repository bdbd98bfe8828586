"""`rtd triplets rules`: triplets by swapping words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.triplets.options import (
    SOURCES,
    band_option,
    column_option,
    encoder_option,
    kinds_option,
    per_caption_option,
    real_option,
)
from rtd_adapters.cli.triplets.progress import note, note_made, watch


@click.command(epilog=f"CAPTIONS is {SOURCES}.")
@click.argument("captions")
@click.option("-o", "--out", type=options.FILE, required=True, help="JSON lines to write.")
@column_option
@encoder_option
@options.pretrained_option
@band_option
@kinds_option
@real_option
@per_caption_option
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
    kinds: Path | None,
    overwrite: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Make triplets of CAPTIONS by rule: one or two attributes change to what the others say there.

    A run that broke off goes on when the same command is given again.
    """
    from rtd_adapters.triplets.encoder import caption_encoder
    from rtd_adapters.triplets.rules.run import rule_triplets
    from rtd_adapters.triplets.rules.settings import RuleSettings

    counts = rule_triplets(
        captions,
        out,
        RuleSettings(band=band, **settings),
        column=column,
        kinds=kinds,
        embed=caption_encoder(backbone, pretrained),
        encoder=backbone and f"{backbone} {pretrained}",
        overwrite=overwrite,
        watch=watch(quiet),
    )
    note_made(out, counts.triplets, counts.captions, counts.dropped, quiet)
    note(f"  targets that are captions of {captions}: {counts.real:,}", quiet)
