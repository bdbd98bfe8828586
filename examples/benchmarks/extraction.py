"""Pictures a second: the bare image tower, and `rtd eval`'s extraction, JPEG decoding included.

    python examples/benchmarks/extraction.py --workers 2 > examples/benchmarks/extraction.md

Writes a folder of JPEGs. The two take turns, round after round, so that a busy machine slows both;
figures are medians over the rounds, and the ratio is taken within a round. The bare tower gets
batches that lie ready on its device. Weights are random, which changes no time.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

from rtd_adapters import Benchmark, load_backbone
from rtd_adapters.compute.acceleration import accelerator_on
from rtd_adapters.evaluation.benchmark import image_at
from rtd_adapters.evaluation.features import Pictures
from rtd_adapters.evaluation.image_tower import PRECISIONS, ImageTower

SIZE = (640, 480)
"""Width and height of a picture, as COCO's are."""
GRAIN = 8
"""Pixels from one random colour to the next: about as many bytes as a photograph of that size."""


def random_backbone(name: str, folder: Path):
    """A backbone of an open_clip name with random weights."""
    import open_clip

    torch.manual_seed(0)
    torch.save(open_clip.create_model(name).state_dict(), folder / "weights.pt")
    return load_backbone(name, str(folder / "weights.pt"))


def write_pictures(folder: Path, count: int) -> list[str]:
    """JPEGs of random colours; returns their paths."""
    draw = np.random.default_rng(0)
    paths = []
    for number in range(count):
        colours = draw.integers(0, 256, (SIZE[1] // GRAIN, SIZE[0] // GRAIN, 3), dtype=np.uint8)
        picture = Image.fromarray(colours).resize(SIZE, Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:06}.jpg", quality=90)
        paths.append(str(folder / f"{number:06}.jpg"))
    return paths


def bare(tower: ImageTower, batches: list[torch.Tensor]) -> None:
    """The tower alone."""
    for batch in batches:
        rows = tower.embeddings(batch)
    rows.cpu()  # which waits for a GPU


def seconds(work, *arguments) -> float:
    """Wall time."""
    started = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - started


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backbone", default="ViT-B-32")
    parser.add_argument("--device", help="accelerate's choice by default")
    parser.add_argument("--precision", default="no", choices=PRECISIONS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def main() -> None:
    given = options()
    with tempfile.TemporaryDirectory() as folder, accelerator_on(given.device) as accelerator:
        backbone = random_backbone(given.backbone, Path(folder)).to(accelerator.device)
        paths = write_pictures(Path(folder), given.pictures)
        size = sum(Path(path).stat().st_size for path in paths) / len(paths) / 1e3
        benchmark = Benchmark("", "", (), lambda path: image_at(Path(path)), lambda *_: {})
        tower = ImageTower(backbone.images()[0], given.precision)
        ready = torch.stack([backbone.preprocess(image_at(Path(path))) for path in paths])
        batches = list(ready.to(tower.device).split(given.batch_size))
        bare(tower, batches[:1])
        times = []
        for number in range(given.rounds):
            pictures = Pictures(
                backbone, benchmark, "clip", given.batch_size, None, True,
                workers=given.workers, precision=given.precision,
            )  # fmt: skip
            times.append((seconds(bare, tower, batches), seconds(pictures.embeddings, paths)))
            print(f"round {number}: {times[-1]}", file=sys.stderr)
    where = "cpu" if tower.device.type == "cpu" else torch.cuda.get_device_name()
    print(
        f"{given.backbone}, {given.pictures} JPEGs of {SIZE[0]} x {SIZE[1]} ({size:.0f} kB), batch "
        f"{given.batch_size}, precision {given.precision}, {given.workers} workers, {where}, "
        f"{torch.get_num_threads()} threads, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    print("\n| | pictures/s |\n|---|---|")
    for title, own in zip(("bare tower", "extraction"), zip(*times, strict=True), strict=True):
        print(f"| {title} | {given.pictures / median(own):.1f} |")
    print(f"\nratio: {100 * median(alone / whole for alone, whole in times):.0f} %")


if __name__ == "__main__":
    main()
