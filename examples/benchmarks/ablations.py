"""Each component of RTD switched off in turn, in the built-in world, over three seeds.

    python examples/benchmarks/ablations.py > examples/benchmarks/ablations.md

Prints a Markdown table of held-out figures; R@1 with the half of its 95 % interval, over queries
and seeds, then the range of the seeds. It takes about fifteen minutes on two cores. Any
`--backbone` of the built-in world will do.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import mean, variance

from rtd_adapters import PatchJob, RunOptions, recipe_settings, run_patch
from rtd_adapters.demo.queries import held_out_queries

SEEDS = (0, 1, 2)
METRICS = {
    "recall@1": "R@1",
    "recall@5": "R@5",
    "recall@10": "R@10",
    "recall@1_without_reference": "R@1, reference removed",
    "text_to_image_recall@1": "text to image R@1",
}
ARMS = {
    "full": ("full", {}),
    "LoRA": ("lora", {}),
    "full, no refined batch sampling": ("full", {"refined_batch": False}),
    "the same with batch 128 (equal compute)": (
        "full",
        {"refined_batch": False, "batch_size": 128},
    ),
    "full, no noise": ("full", {"noise_scale": 0.0}),
    "full, text instead of pseudo tokens": ("full", {"concat": "text"}),
    "full + plain caption pairs (ours, not RTD)": ("full", {"keep_alignment": True}),
    "LoRA + plain caption pairs (ours, not RTD)": ("lora", {"keep_alignment": True}),
}


def figures(backbone: str, kind: str, changes: dict, seed: int) -> tuple[dict, dict]:
    """Before and after of one run."""
    settings = recipe_settings(backbone, kind, **changes, seed=seed)
    options = RunOptions(quiet=True)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "w.safetensors"
        result = run_patch(
            PatchJob("searle", out, backbone, kind=kind, settings=settings, options=options)
        )
    return result.before, result.after


def half_interval(first: list[float]) -> float:
    """Of R@1's mean over the seeds, per cent: queries drawn anew, and seeds drawn anew."""
    share = mean(first) / 100
    of_queries = 1e4 * share * (1 - share) / len(held_out_queries().texts)
    return 1.96 * (of_queries + variance(first) / len(first)) ** 0.5


def row(name: str, runs: list[dict]) -> str:
    """One line: means over the seeds, and how far R@1 may be off."""
    cells = [f"{mean(run[metric] for run in runs):.1f}" for metric in METRICS]
    first = [run["recall@1"] for run in runs]
    cells[0] += f" ± {half_interval(first):.1f}"
    if min(first) != max(first):
        cells[0] += f" [{min(first):.1f} to {max(first):.1f}]"
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backbone", default="demo")
    backbone = parser.parse_args().backbone
    print(f"| held out, per cent, mean of seeds 0 to 2 | {' | '.join(METRICS.values())} |")
    print("|---" * (len(METRICS) + 1) + "|")
    for place, (name, (kind, changes)) in enumerate(ARMS.items()):
        runs = [figures(backbone, kind, changes, seed) for seed in SEEDS]
        if place == 0:
            print(row("before", [before for before, _ in runs]), flush=True)
        print(row(name, [after for _, after in runs]), flush=True)


if __name__ == "__main__":
    main()
