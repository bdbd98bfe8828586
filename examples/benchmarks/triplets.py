"""Patches trained on triplets of several makes, in the built-in world, at equal numbers.

    python examples/benchmarks/triplets.py > examples/benchmarks/triplets.md

The grammar knows the scenes behind its captions, as a language model knows the world; the rules
see nothing but the captions. All get captions of training scenes alone, and triplets whose target
names a held-out pair of shape and colour are left out. Prints a Markdown table of held-out
figures. It takes about ten minutes on two cores. `rtd sweep --strategy A --strategy B` does the
same on your own files, backbone and benchmark.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path
from statistics import mean

from rtd_adapters import PatchJob, RunOptions, TrainingSettings, load_backbone, run_patch
from rtd_adapters.clip.sources import backbone_source
from rtd_adapters.demo.captions import SYNONYMS, caption
from rtd_adapters.demo.scenes import HELD_OUT, draw_training_scene
from rtd_adapters.demo.triplets import demo_triplets
from rtd_adapters.triplets import Triplet, read_triplets, write_triplets
from rtd_adapters.triplets.rules.run import rule_triplets
from rtd_adapters.triplets.rules.settings import RuleSettings

SEEDS = (0, 1, 2)
CAPTIONS = 20_000
NUMBER = 16_000
"""Triplets that each arm trains on."""
METRICS = {
    "recall@1": "R@1",
    "recall@5": "R@5",
    "recall@10": "R@10",
    "recall@1_without_reference": "R@1, reference removed",
}
WORDS = {word: value for value, words in SYNONYMS.items() for word in words}


def names_held_out(text: str) -> bool:
    """Whether a caption may name a held-out pair."""
    found = {value for word, value in WORDS.items() if word in text}
    return any({shape, colour} <= found for shape, colour in HELD_OUT)


def rules(folder: Path, *, real: float, choose: bool = False) -> Iterable[Triplet]:
    """Rule-made triplets of captions of training scenes; a backbone may choose among them."""
    draw = random.Random(0)
    captions = folder / "captions.txt"
    lines = (caption(draw_training_scene(draw), draw) for _ in range(CAPTIONS))
    captions.write_text("\n".join(lines), encoding="utf-8")
    embed = load_backbone("demo").embed_captions if choose else None
    out = folder / "rules.jsonl"
    encoder = "demo" if choose else None
    rule_triplets(captions, out, RuleSettings(real=real), embed=embed, encoder=encoder)
    return (triplet for triplet in read_triplets(out) if not names_held_out(triplet.target))


def mixed(folder: Path) -> Iterable[Triplet]:
    """Half of the grammar's, half of the rules'."""
    half = NUMBER // 2
    return chain(demo_triplets(half, 0), islice(rules(folder, real=0.5), half))


def figures(triplets: Path, seed: int) -> tuple[dict, dict]:
    """Before and after of one run."""
    settings = TrainingSettings(**backbone_source("demo").recipe("full"), seed=seed)
    job = PatchJob(
        "searle",
        triplets.with_suffix(".safetensors"),
        triplets=triplets,
        settings=settings,
        options=RunOptions(quiet=True),
        overwrite=True,
    )
    result = run_patch(job)
    return result.before, result.after


def row(name: str, count: int, runs: list[dict]) -> str:
    """One line: means over the seeds, and the range of R@1."""
    cells = [f"{mean(run[metric] for run in runs):.1f}" for metric in METRICS]
    first = [run["recall@1"] for run in runs]
    cells[0] += f" [{min(first):.1f} to {max(first):.1f}]"
    return f"| {name} | {count:,} | {' | '.join(cells)} |"


def main() -> None:
    arms = {
        "grammar": lambda folder: demo_triplets(CAPTIONS, 0),
        "rules, made targets (--real 0)": lambda folder: rules(folder, real=0),
        "rules, the default (--real 0.5)": lambda folder: rules(folder, real=0.5),
        "rules, real targets first (--real 1)": lambda folder: rules(folder, real=1),
        "rules, with --backbone": lambda folder: rules(folder, real=0.5, choose=True),
        "grammar and rules, mixed": mixed,
    }
    names = " | ".join(METRICS.values())
    print(f"| per cent, seeds 0 to 2: mean [range] | triplets | {names} |")
    print("|---" * (len(METRICS) + 2) + "|")
    for place, (name, make) in enumerate(arms.items()):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "triplets.jsonl"
            count = write_triplets(path, islice(make(Path(folder)), NUMBER))
            runs = [figures(path, seed) for seed in SEEDS]
        if place == 0:
            print(row("before", 0, [before for before, _ in runs]), flush=True)
        print(row(name, count, [after for _, after in runs]), flush=True)


if __name__ == "__main__":
    main()
