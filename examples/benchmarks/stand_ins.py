"""Two more stand-ins for a picture's patches, tried in the built-in world and not taken over.

    python examples/benchmarks/stand_ins.py > examples/benchmarks/stand_ins.md

*coin* takes the states of `tokens` or of `caption`, each caption by the toss of a coin;
*statistics* lifts the caption as the whole picture and draws each patch from a normal distribution
with the mean and the deviation that 256 pictures' patches have. Both are our own ideas. Prints a
Markdown table of held-out figures beside `tokens`, the default.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from rtd_adapters import PatchJob, RunOptions, load_backbone, recipe_settings, run_patch
from rtd_adapters.demo.render import draw
from rtd_adapters.demo.scenes import draw_training_scene
from rtd_adapters.evaluation.pictures import picture_states
from rtd_adapters.methods.stand_ins import CaptionSide

PICTURES = 256
States = Callable[[CaptionSide, Sequence[str], Tensor], Tensor]


def coin() -> States:
    """`tokens` or `caption`, row by row."""
    tokens, generator = CaptionSide.token_states, torch.Generator().manual_seed(0)

    def states(side: CaptionSide, captions: Sequence[str], whole: Tensor) -> Tensor:
        heads = torch.rand(len(captions), 1, 1, generator=generator) < 0.5
        both = tokens(side, captions, whole), side.caption_states(captions, whole)
        return torch.where(heads, *both)

    return states


def statistics(backbone: str) -> States:
    """Patches that no caption decides."""
    rng, generator = random.Random(11), torch.Generator().manual_seed(0)
    pictures = [draw(draw_training_scene(rng), rng.randrange(1 << 30)) for _ in range(PICTURES)]
    patches = picture_states(load_backbone(backbone), pictures).tokens[:, 1:].flatten(0, 1)
    mean, deviation = patches.mean(0), patches.std(0)

    def states(side: CaptionSide, captions: Sequence[str], whole: Tensor) -> Tensor:
        lifted = side.image_head.lift_pictures(whole[:, None])
        shape = (len(whole), side.image_head.patches, len(mean))
        drawn = mean + deviation * torch.randn(shape, generator=generator)
        return torch.cat([lifted, drawn], dim=1)

    return states


def row(backbone: str, method: str, name: str, states: States, seeds: Sequence[int]) -> str:
    """One line of the table, trained with these states."""
    usual, CaptionSide.token_states = CaptionSide.token_states, states  # type: ignore[method-assign]
    cells = []
    for seed in seeds:
        settings = recipe_settings(backbone, seed=seed)
        with tempfile.TemporaryDirectory() as folder:
            out, options = Path(folder) / "w.safetensors", RunOptions(quiet=True)
            run = run_patch(PatchJob(method, out, backbone, settings=settings, options=options))
        cells.append([run.before, run.after])
    CaptionSide.token_states = usual  # type: ignore[method-assign]
    composed, plain = "recall@1", "text_to_image_recall@1"
    before, after = cells[0][0], [run[1] for run in cells]
    found = [", ".join(f"{run[metric]:.1f}" for run in after) for metric in (composed, plain)]
    return f"| {backbone} | {method} | {name} | {before[composed]:.1f} | {' | '.join(found)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backbones", nargs="+", default=["demo", "demo-gap"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    given = parser.parse_args()
    seeds = ", ".join(map(str, given.seeds))
    print(f"| backbone | method | states | R@1 before | R@1 after, seeds {seeds} | text to image |")
    print("|---|---|---|---|---|---|")
    for backbone in given.backbones:
        arms = {
            "tokens": CaptionSide.token_states,
            "coin": coin(),
            "statistics": statistics(backbone),
        }
        for method in ("context_i2w", "fti4cir"):
            for name, states in arms.items():
                print(row(backbone, method, name, states, given.seeds), flush=True)


if __name__ == "__main__":
    main()
