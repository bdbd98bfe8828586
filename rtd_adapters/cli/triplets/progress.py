"""What the `rtd triplets` commands print to standard error, unless they are to be quiet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rtd_adapters.cli.terminal import echo


def watch(quiet: bool) -> Callable[[Iterable[Any], str], Iterable[Any]]:
    """Passes an iterable through and shows its progress under a label."""
    from tqdm import tqdm

    hidden = True if quiet else None  # None: where stderr is no terminal
    return lambda rows, label: tqdm(rows, desc=label, disable=hidden, unit_scale=True)


def note(line: str, quiet: bool) -> None:
    """Print a line."""
    if not quiet:
        echo(line, err=True)


def note_made(out: Path, made: int, captions: int, dropped: Counter[str], quiet: bool) -> None:
    """Print how many triplets came of how many captions, and why of others none did."""
    note(f"wrote {out}: {made:,} triplets of {captions:,} captions", quiet)
    for reason, count in dropped.most_common():
        if count:
            note(f"  {reason}: {count:,}", quiet)
