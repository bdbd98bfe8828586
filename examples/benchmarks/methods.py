"""Every method patched in the built-in world, three seeds, and what stands in for a picture.

    python examples/benchmarks/methods.py > examples/benchmarks/methods.md

*reuse* trains against SEARLE's projection and puts the encoder into the other method, as the
paper's code does for Pic2Word. The other rows train against the method's own projection. Variants
were chosen on the development queries; the held-out queries are the figures to quote. It takes
about seven minutes on two cores, and some more for KEDs. Any `--backbone` of the built-in world
will do, and `--methods` names those that are wanted.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import mean

from rtd_adapters import (
    Method,
    PatchJob,
    RunOptions,
    TextEncoderPatch,
    get_method,
    load_backbone,
    load_projection,
    recipe_settings,
    run_patch,
)
from rtd_adapters.demo.queries import DEV_SEED, FINAL_SEED, held_out_queries
from rtd_adapters.demo.world import demo_world

SEEDS = (0, 1, 2)
ROWS: list[tuple[str, str, Method]] = [
    ("searle", "own projection", get_method("searle")),
    ("pic2word", "own projection", get_method("pic2word")),
    ("pic2word", "reuse", get_method("searle")),
    ("lincir", "own projection", get_method("lincir")),
    ("context_i2w", "tokens", get_method("context_i2w")),
    ("context_i2w", "caption", get_method("context_i2w").configured({"stand_in": "caption"})),
    ("context_i2w", "reuse", get_method("searle")),
    ("fti4cir", "tokens", get_method("fti4cir")),
    ("fti4cir", "words", get_method("fti4cir").configured({"stand_in": "words"})),
    ("fti4cir", "reuse", get_method("searle")),
    ("keds", "banks", get_method("keds")),
    ("keds", "captions", get_method("keds").configured({"stand_in": "captions"})),
    ("keds", "reuse", get_method("searle")),
]


class Worlds:
    """A method's development and held-out queries."""

    def __init__(self, name: str, backbone: str) -> None:
        method, self.backbone = get_method(name), load_backbone(backbone)
        projection, _ = load_projection(method, self.backbone, None)
        self._worlds = [
            demo_world(method, projection, self.backbone, held_out_queries(seed))
            for seed in (DEV_SEED, FINAL_SEED)
        ]

    def figures(self, tower) -> list[float]:
        """Development R@1, then R@1 and text-to-image R@1 on held-out queries."""
        dev, final = (world.evaluate(tower) for world in self._worlds)
        return [dev["recall@1"], final["recall@1"], final["text_to_image_recall@1"]]


def train(trained: Method, backbone: str, seed: int, folder: Path):
    """The patched tower of one run; runs of one method and seed are not repeated."""
    chosen = {"stand_in": trained.stand_in} if trained.stand_in else {}
    out = folder / f"{trained.name}-{trained.stand_in}-{seed}.safetensors"
    if not out.exists():
        run_patch(
            PatchJob(
                trained.name,
                out,
                backbone,
                method_options=chosen,
                settings=recipe_settings(backbone, seed=seed),
                options=RunOptions(quiet=True),
            )
        )
    return TextEncoderPatch.load(out).build_tower()


def cell(values: list[float]) -> str:
    spread = f" [{min(values):.1f} to {max(values):.1f}]" if min(values) != max(values) else ""
    return f"{mean(values):.1f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backbone", default="demo")
    parser.add_argument("--methods", nargs="+", default=[name for name, *_ in ROWS])
    given = parser.parse_args()
    backbone = given.backbone
    print(
        "| method | trained against | development R@1 | R@1 before | R@1 after "
        "| text to image before | after |\n|---|---|---|---|---|---|---|"
    )
    worlds: dict[str, Worlds] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name, title, trained in (row for row in ROWS if row[0] in given.methods):
            world = worlds.setdefault(name, Worlds(name, backbone))
            before = world.figures(world.backbone.tower)
            runs = [
                world.figures(train(trained, backbone, seed, Path(temporary))) for seed in SEEDS
            ]
            dev, after, kept = (list(column) for column in zip(*runs, strict=True))
            print(
                f"| {name} | {title} | {before[0]:.1f} to {cell(dev)} | {before[1]:.1f} "
                f"| {cell(after)} | {before[2]:.1f} | {cell(kept)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
