"""`rtd cache`: the anchors that --anchor-cache keeps on disk."""

from __future__ import annotations

import click

from rtd_adapters.cli.options import json_option
from rtd_adapters.cli.terminal import echo, echo_json


@click.group()
def cache() -> None:
    """Show and clear the frozen towers' embeddings that `rtd patch --anchor-cache` keeps.

    They lie in $RTD_CACHE, or in rtd-adapters in your cache folder.

    \b
    Examples:
      rtd cache list
      rtd cache clear
    """


@cache.command("list")
@json_option
def list_towers(as_json: bool) -> None:
    """What is kept, a line for each text tower.

    \b
    Example:
      rtd cache list
    """
    from dataclasses import asdict

    from rtd_adapters.training.anchor_store import cache_root, cached_towers

    towers = cached_towers()
    if as_json:
        rows = [asdict(tower) for tower in towers]
        echo_json({"folder": str(cache_root()), "towers": rows})
        return
    echo(f"{cache_root()}: {sum(tower.megabytes for tower in towers):,.1f} MB")
    for tower in towers:
        echo(
            f"  {tower.backbone}  {tower.fingerprint[:12]}  {tower.captions:,} captions  "
            f"{tower.megabytes:,.1f} MB"
        )


@cache.command()
def clear() -> None:
    """Delete everything that is kept; a run that uses it goes on.

    \b
    Example:
      rtd cache clear
    """
    from rtd_adapters.training.anchor_store import cache_root, clear_cache

    echo(f"{clear_cache():,.1f} MB freed in {cache_root()}")
