"""`rtd index` beside the bare image tower, and on 100,000 pictures, killed twice.

    python examples/benchmarks/indexing.py ratio >> examples/benchmarks/indexing.md
    python examples/benchmarks/indexing.py scale 100000 >> examples/benchmarks/indexing.md

`ratio` takes ViT-B-32 with random weights: the bare tower, whose batches lie ready, and an index of
the same JPEGs, thumbnails and all, take turns; figures are medians over the rounds. `scale` makes
small JPEGs and indexes them by the built-in world's tower in a process of its own, which is killed
with SIGKILL once a third is kept and once two thirds are; then it asks the index 500 times for the
50 nearest of one query, exactly.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import extraction
import numpy as np
import psutil
import torch

from rtd_adapters.errors import FileError
from rtd_adapters.evaluation.benchmark import image_at
from rtd_adapters.evaluation.image_tower import ImageTower
from rtd_adapters.jobs.index import IndexJob, run_index
from rtd_adapters.search.index import Index
from rtd_adapters.search.index.building import Looking

PICTURES, ROUNDS, BATCH, WORKERS = 512, 3, 64, 2
SMALL = (160, 120)
QUERIES, DEPTH = 500, 50


def ratio(folder: Path) -> None:
    """The rate of an index in per cent of the tower's."""
    backbone = extraction.random_backbone("ViT-B-32", folder)
    (folder / "pictures").mkdir()
    paths = extraction.write_pictures(folder / "pictures", PICTURES)
    tower = ImageTower(backbone.images()[0])
    ready = torch.stack([backbone.preprocess(image_at(Path(path))) for path in paths])
    batches = list(ready.split(BATCH))
    extraction.bare(tower, batches[:1])
    weights, times = str(folder / "weights.pt"), []
    for number in range(ROUNDS):
        alone = extraction.seconds(extraction.bare, tower, batches)
        how = Looking(batch_size=BATCH, workers=WORKERS, quiet=True)
        job = IndexJob(
            str(folder / "pictures"),
            folder / f"index{number}",
            backbone="ViT-B-32",
            pretrained=weights,
            how=how,
        )
        times.append((alone, run_index(job).seconds))
        print(f"round {number}: {times[-1]}", file=sys.stderr)
    print(
        f"ViT-B-32, {PICTURES} JPEGs of 640 x 480, batch {BATCH}, {WORKERS} workers, "
        f"{torch.get_num_threads()} threads, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}\n\n| | pictures/s |\n|---|---|"
    )
    for title, own in zip(("bare tower", "index"), zip(*times, strict=True), strict=True):
        print(f"| {title} | {PICTURES / median(own):.1f} |")
    print(f"\nratio: {100 * median(alone / whole for alone, whole in times):.0f} %\n")


def scale(folder: Path, count: int) -> None:
    """Many pictures, two kills, and searches."""
    extraction.SIZE = SMALL
    (folder / "pictures").mkdir()
    extraction.write_pictures(folder / "pictures", count)
    out, kills = folder / "index", []
    command = [sys.executable, "-m", "rtd_adapters", "index", str(folder / "pictures")]
    command += ["--out", str(out), "--backbone", "demo", "--workers", str(WORKERS), "--json"]
    began = time.perf_counter()
    for third in (1, 2):
        with subprocess.Popen(command, start_new_session=True) as run:
            while kept(out) < third * count / 3:
                time.sleep(0.2)
            os.killpg(run.pid, signal.SIGKILL)
        kills.append(kept(out))
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    took, told = time.perf_counter() - began, json.loads(done.stdout)
    again = subprocess.run(command, check=True, capture_output=True, text=True)
    index = Index.open(out)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
    rng = np.random.default_rng(0)
    queries = rng.standard_normal((QUERIES, index.card.embed_dim)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    index.search(queries[:1], DEPTH)
    times = [1000 * extraction.seconds(index.search, query[None], DEPTH) for query in queries]
    p50, p95 = np.percentile(times, [50, 95])
    print(
        f"{count:,} JPEGs of {SMALL[0]} x {SMALL[1]}, the built-in world's tower, {WORKERS} "
        f"workers, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n\n"
        f"- killed with {kills[0]:,} and {kills[1]:,} kept; the third run embedded "
        f"{told['new']:,}, a fourth {json.loads(again.stdout)['new']}\n"
        f"- {told['count']:,} pictures in the index, {size:.0f} MB, after {took:.0f} s in all\n"
        f"- exact search of one query, ms: p50 {p50:.1f}, p95 {p95:.1f}; this process holds "
        f"{psutil.Process().memory_info().rss / 1e6:.0f} MB\n"
    )


def kept(out: Path) -> int:
    try:
        return Index.open(out).card.count
    except FileError:
        return 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as made:
        if sys.argv[1] == "ratio":
            ratio(Path(made))
        else:
            scale(Path(made), int(sys.argv[2]))
