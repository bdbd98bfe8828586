"""Pictures of the built-in world for `rtd patch --calibrate`, of training scenes alone.

python -m rtd_adapters.demo.pictures FOLDER
"""

from __future__ import annotations

import random
from pathlib import Path

import click

from rtd_adapters.demo.render import draw
from rtd_adapters.demo.scenes import draw_training_scene

PICTURES = 256


def write_pictures(folder: Path, count: int = PICTURES, seed: int = 0) -> None:
    """Draw `count` training scenes, none with a held-out pair, as PNG files into a new folder."""
    folder.mkdir(parents=True)
    rng = random.Random(seed)
    for number in range(count):
        picture = draw(draw_training_scene(rng), rng.randrange(1 << 30))
        picture.save(folder / f"{number:05}.png")


@click.command()
@click.argument("folder", type=click.Path(exists=False, path_type=Path))
@click.option("--count", type=click.IntRange(1), default=PICTURES, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def pictures(folder: Path, count: int, seed: int) -> None:
    """Draw pictures of training scenes into a new FOLDER."""
    write_pictures(folder, count, seed)


if __name__ == "__main__":
    pictures()
