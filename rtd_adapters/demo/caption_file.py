"""Captions of the built-in world as a text file, of training scenes alone, for what learns from
captions.

python -m rtd_adapters.demo.caption_file FILE
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import click

from rtd_adapters.demo.captions import caption
from rtd_adapters.demo.scenes import draw_training_scene
from rtd_adapters.io.atomic import whole_file

CAPTIONS = 40_000


def training_captions(count: int = CAPTIONS, seed: int = 0) -> Iterator[str]:
    """`count` captions of scenes without held-out pairs, the same for the same seed; some are there
    twice."""
    rng = random.Random(seed)
    return (caption(draw_training_scene(rng), rng) for _ in range(count))


@click.command()
@click.argument("file", type=click.Path(exists=False, dir_okay=False, path_type=Path))
@click.option("--count", type=click.IntRange(1), default=CAPTIONS, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def captions(file: Path, count: int, seed: int) -> None:
    """Write captions of training scenes, one a line, into a new FILE."""
    if file.exists():
        raise click.UsageError(f"{file} exists already.")
    with whole_file(file) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.writelines(f"{text}\n" for text in training_captions(count, seed))


if __name__ == "__main__":
    captions()
