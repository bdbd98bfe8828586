"""Both recipes, three seeds, at several strengths of the patch, in the built-in world.

    python examples/benchmarks/recipes.py --backbone demo

*paper* is training as published, *balanced* is ours. Prints a Markdown table of held-out figures;
recipes.md holds those of all backbones of the built-in world. Any `--backbone` will do that brings
triplets, projections and pictures of its own.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import mean

from rtd_adapters import (
    PatchJob,
    RunOptions,
    TextEncoderPatch,
    get_method,
    load_backbone,
    load_projection,
    recipe_settings,
    run_patch,
)
from rtd_adapters.clip.sources import backbone_source

RECIPES = ("paper", "balanced")
STRENGTHS = (1.0, 0.75, 0.5)
METRICS = {
    "recall@1": "R@1",
    "recall@5": "R@5",
    "recall@10": "R@10",
    "text_to_image_recall@1": "text to image R@1",
}


def train(backbone: str, method: str, recipe: str, seed: int) -> TextEncoderPatch:
    """The patch of one run."""
    settings = recipe_settings(backbone, recipe=recipe, seed=seed)
    options = RunOptions(quiet=True)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "w.safetensors"
        run_patch(PatchJob(method, out, backbone, settings=settings, options=options))
        return TextEncoderPatch.load(out)


def cell(values: list[float]) -> str:
    """The mean over the seeds, and their range."""
    spread = f" [{min(values):.1f} to {max(values):.1f}]" if min(values) != max(values) else ""
    return f"{mean(values):.1f}{spread}"


def row(name: str, strength: str, runs: list[dict]) -> str:
    """One line of the table."""
    cells = [cell([run[metric] for run in runs]) for metric in METRICS]
    return f"| {name} | {strength} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backbone", default="demo")
    parser.add_argument("--method", default="searle")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    method, backbone = get_method(given.method), load_backbone(given.backbone)
    projection, _ = load_projection(method, backbone, None)
    world = backbone_source(given.backbone).world(method, projection, backbone)
    base = backbone.tower.state_dict()

    seeds = ", ".join(map(str, given.seeds))
    print(f"| {given.method} in {given.backbone}, held out, per cent, mean of seeds {seeds} "
          f"| strength | {' | '.join(METRICS.values())} |")  # fmt: skip
    print("|---" * (len(METRICS) + 2) + "|")
    print(row("before", "0", [world.evaluate(backbone.tower)]), flush=True)
    for recipe in RECIPES:
        patches = [train(given.backbone, given.method, recipe, seed) for seed in given.seeds]
        for strength in STRENGTHS:
            runs = [world.evaluate(patch.build_tower(base, strength)) for patch in patches]
            print(row(recipe, f"{strength:g}", runs), flush=True)


if __name__ == "__main__":
    main()
