"""Rebuilds the built-in world's weights from nothing: `python -m rtd_adapters.demo.build`.

`--world vit`, the default, needs the CLIP of `--world resnet`, its teacher, and nothing else.
Deterministic for one seed, machine, thread count and set of versions; docs/world.md has the
seconds. Each line printed begins with the seconds so far. A method that says that it learns from
captions gets its projection from these alone, as `rtd projection train` makes it.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
from safetensors.torch import save_file
from torch import Tensor

from rtd_adapters.demo.caption_projection import caption_training, train_caption_projection
from rtd_adapters.demo.clip import load_demo_clip
from rtd_adapters.demo.distil import distil
from rtd_adapters.demo.models import RESNET, VIT
from rtd_adapters.demo.pretrain import pretrain
from rtd_adapters.demo.train_projection import embed_pictures, train_projection
from rtd_adapters.hooks.registry import registry
from rtd_adapters.io.atomic import whole_file
from rtd_adapters.methods.installed import get_method

WORLDS = {clip.folder.name: (clip, make) for clip, make in ((RESNET, pretrain), (VIT, distil))}


@click.command()
@click.option(
    "--world",
    type=click.Choice(tuple(WORLDS)),
    default=VIT.folder.name,
    show_default=True,
    help="By its image tower.",
)
@click.option(
    "--projection",
    "names",
    multiple=True,
    metavar="METHOD",
    help="Train only this method's projection, on the CLIP that is there; may be repeated.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the projection there, for a method of your own; needs one --projection.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides everything random.")
def build(world: str, names: tuple[str, ...], out: Path | None, seed: int) -> None:
    """Draw the world, train a CLIP, then a projection for every installed method."""
    if out and len(names) != 1:
        raise click.UsageError("--out needs exactly one --projection.")
    started = time.perf_counter()

    def say(line: str) -> None:
        click.echo(f"{time.perf_counter() - started:6.0f} s  {line}", err=True)

    clip, make = WORLDS[world]
    if not names:
        _write(make(seed, say), clip.weights)
    model = load_demo_clip(clip)[0]
    say("pictures for the projections")
    images = embed_pictures(model, seed)
    for name in names or sorted(registry().methods):
        say(f"projection for {name}")
        method = get_method(name)
        if training := caption_training(method):
            tensors = train_caption_projection(method, training, clip.name, seed)
        else:
            tensors = train_projection(method, model, images, seed, say)
        _write(tensors, out or clip.folder / f"{name}.safetensors")


def _write(tensors: dict[str, Tensor], path: Path) -> None:
    with whole_file(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
    click.echo(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)", err=True)


if __name__ == "__main__":
    build()
