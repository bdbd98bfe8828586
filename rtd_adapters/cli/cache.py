"""`rtd cache`: the embeddings and indexes that are kept on disk."""

from __future__ import annotations

import click

from rtd_adapters.cli.options import json_option
from rtd_adapters.cli.terminal import echo, echo_json


@click.group()
def cache() -> None:
    """Show and clear kept embeddings of captions and pictures, and indexes of triplet files.

    `rtd patch --anchor-cache` keeps the first, `rtd eval` the second; the third are made of files
    from 32 MB on, or a quarter of that where they are compressed or Parquet. They lie in
    $RTD_CACHE, or in rtd-adapters in your cache folder.

    \b
    Examples:
      rtd cache list
      rtd cache clear
    """


@cache.command("list")
@json_option
def list_towers(as_json: bool) -> None:
    """What is kept: a line for each text tower, one for the pictures, one for indexes.

    \b
    Example:
      rtd cache list
    """
    from dataclasses import asdict

    from rtd_adapters.evaluation.kept import kept_pictures
    from rtd_adapters.io.cache import cache_root
    from rtd_adapters.training.anchor_store import cached_towers
    from rtd_adapters.triplets.index import kept_indexes

    towers, pictures, indexes = cached_towers(), kept_pictures(), kept_indexes()
    if as_json:
        rows = [asdict(tower) for tower in towers]
        kept = {"pictures": asdict(pictures), "indexes": asdict(indexes)}
        echo_json({"folder": str(cache_root()), "towers": rows, **kept})
        return
    whole = pictures.megabytes + indexes.megabytes + sum(tower.megabytes for tower in towers)
    echo(f"{cache_root()}: {whole:,.1f} MB")
    for tower in towers:
        echo(
            f"  {tower.backbone}  {tower.fingerprint[:12]}  {tower.captions:,} captions  "
            f"{tower.megabytes:,.1f} MB"
        )
    echo(
        f"  pictures  {pictures.lists} lists, {pictures.unfinished} unfinished  "
        f"{pictures.megabytes:,.1f} MB"
    )
    echo(f"  triplets  {indexes.files} indexes  {indexes.megabytes:,.1f} MB")


@cache.command()
def clear() -> None:
    """Delete everything that is kept; a run that uses it goes on.

    \b
    Example:
      rtd cache clear
    """
    from rtd_adapters.evaluation.kept import clear_pictures
    from rtd_adapters.io.cache import cache_root
    from rtd_adapters.training.anchor_store import clear_cache
    from rtd_adapters.triplets.index import clear_indexes

    echo(f"{clear_cache() + clear_pictures() + clear_indexes():,.1f} MB freed in {cache_root()}")
