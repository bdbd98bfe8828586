"""Queries worth seeing, and the small pictures that show them."""

from __future__ import annotations

import base64
import hashlib
import io
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from rtd_adapters.evaluation.result import QueryRecord, Result
from rtd_adapters.io.atomic import whole_file

if TYPE_CHECKING:
    from rtd_adapters.evaluation.benchmark import Benchmark

EACH = 12
"""Queries of each group."""
SHOWN = 5
"""Places of a ranking that are shown."""
SIDE = 128
"""Pixels of a small picture's longer side at most."""
FOLDER = "pictures"


@dataclass(frozen=True)
class Strip:
    """One query to show, and why."""

    group: str
    """gain, loss or random."""
    query: QueryRecord


def choose(result: Result, seed: int = 0) -> list[Strip]:
    """The largest gains, the largest losses, and some queries drawn at random.

    A gain is how many times better the target's rank became, so that 40 to 2 counts for more than
    400 to 300.
    """
    by_gain = [
        (query.base_rank / query.patched_rank, query)
        for query in result.queries
        if query.base_rank and query.patched_rank
    ]
    by_gain.sort(key=itemgetter(0))
    gains = [query for gain, query in reversed(by_gain) if gain > 1][:EACH]
    losses = [query for gain, query in by_gain if gain < 1][:EACH]
    shown = {query.id for query in (*gains, *losses)}
    rest = [query for query in result.queries if query.id not in shown]
    drawn = random.Random(seed).sample(rest, min(EACH, len(rest)))
    groups = (("gain", gains), ("loss", losses), ("random", drawn))
    return [Strip(group, query) for group, queries in groups for query in queries]


def pictures_of(strips: Iterable[Strip]) -> list[str]:
    """Every picture id that some strips show, once."""
    ids: dict[str, None] = {}
    for strip in strips:
        query = strip.query
        shown = (*query.base_top[:SHOWN], *query.patched_top[:SHOWN], *query.targets[:1])
        ids.update(dict.fromkeys(filter(None, (query.reference, *shown))))
    return list(ids)


def keep_pictures(benchmark: Benchmark, ids: Sequence[str], folder: Path) -> None:
    """Write small JPEGs of some pictures.

    Raises:
        FileError: a picture is missing, or the disk refuses.
    """
    from PIL import Image

    for identity in ids:
        image = benchmark.open_image(identity)
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        with whole_file(_place(folder, identity)) as temporary:
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=88)
            temporary.write_bytes(buffer.getvalue())


def picture_uri(folder: Path, identity: str) -> str | None:
    """A kept picture as a data URI; None if it was not kept."""
    path = _place(folder, identity)
    if not path.is_file():
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _place(folder: Path, identity: str) -> Path:
    return folder / FOLDER / f"{hashlib.sha256(identity.encode()).hexdigest()[:24]}.jpg"
