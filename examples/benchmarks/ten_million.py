"""From a file to the first step: python examples/benchmarks/ten_million.py [COUNT] [FORMS...].

Writes files of COUNT made-up triplets (ten million by default, 2.3 GB as JSON lines) and of 10,000,
and starts a fresh process on each, twice: the first makes the index, the second finds it. Timed is
all between imports and the end of the first step (batch 128, the fast engine, a small tower); then
200 more batches are drawn from all over the file, and the most memory that the process ever had is
read. Forms: jsonl, json, jsonl.gz, parquet.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

FEW, BLOCK = 10_000, 10_000
KEYS = ("reference_caption", "conditioning_caption", "target_caption")
NAMES = "red blue small large old wooden dog cat bird car street house tree river on in with"
WORDS = NAMES.split(" ")


def rows(count: int) -> Iterator[list[tuple[str, str, str]]]:
    """Blocks of triplets, each with its number in it."""
    draw = random.Random(0)

    def text(length: int) -> str:
        return " ".join(draw.choices(WORDS, k=length))

    kept = [(text(9), text(5), text(9)) for _ in range(BLOCK)]
    for start in range(0, count, BLOCK):
        yield [
            (f"a {a} number {n}", f"has {b}", f"the {c} number {n}")
            for n, (a, b, c) in enumerate(kept[: count - start], start=start)
        ]


def lines(count: int, before: str, between: str, after: str) -> Iterator[bytes]:
    """The same as JSON, in blocks."""
    yield before.encode()
    for number, block in enumerate(rows(count)):
        texts = (json.dumps(dict(zip(KEYS, row, strict=True))) for row in block)
        yield ((between if number else "") + between.join(texts)).encode()
    yield after.encode()


def write(path: Path, count: int) -> None:
    """A file in the form that its name says."""
    if path.suffix == ".parquet":
        import pyarrow
        from pyarrow import parquet

        schema = pyarrow.schema([(key, pyarrow.string()) for key in KEYS])
        with parquet.ParquetWriter(path, schema) as out:
            blocks = rows(count)
            while group := list(itertools.islice(blocks, 100)):
                columns = zip(*itertools.chain.from_iterable(group), strict=True)
                out.write_table(pyarrow.table([list(column) for column in columns], schema))
        return
    is_list = path.suffix == ".json"
    opened = gzip.open(path, "wb", 1) if path.suffix == ".gz" else path.open("wb")  # noqa: SIM115
    with opened as out:
        for block in lines(count, *("[", ", ", "]") if is_list else ("", "\n", "\n")):
            out.write(block)


def first_step(path: Path) -> None:
    """What the fresh process does; prints seconds and megabytes."""
    import torch

    from rtd_adapters.clip.backbones import Backbone
    from rtd_adapters.clip.shapes import BackboneShape
    from rtd_adapters.clip.text import TextTower, TowerConfig
    from rtd_adapters.methods.installed import get_method
    from rtd_adapters.training import FastEngine, Towers, TrainingSettings
    from rtd_adapters.training.batches import TripletStream
    from rtd_adapters.training.step import StepContext
    from rtd_adapters.triplets import read_triplets

    method = get_method("searle")
    towers = [TextTower(TowerConfig(64, 2, 2, 32, "quick_gelu")) for _ in range(2)]
    backbone = Backbone("none", None, towers[0], BackboneShape(32, 64, 64), None, None)
    projection = method.build_projection(backbone.shape).eval().requires_grad_(False)
    networks = Towers(method, projection, *towers, method.tokenizer(towers[0]))
    engine = FastEngine(networks, TrainingSettings(), StepContext())
    began = time.perf_counter()
    triplets = read_triplets(path)
    stream = TripletStream(triplets, networks.tokenizer, batch_size=128, seed=0)
    engine.step(stream.batch(0), torch.Tensor.backward)
    seconds = time.perf_counter() - began
    for number in range(1, 201):
        stream.batch(number)
    status = Path("/proc/self/status").read_text()
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"seconds": seconds, "megabytes": int(peak) / 1024, "count": len(triplets)}))


def measured(path: Path, cache: Path) -> dict[str, float]:
    """What a fresh process prints."""
    command = [sys.executable, __file__, "--step", str(path)]
    environment = os.environ | {"RTD_CACHE": str(cache)}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(found.stdout)


def main(count: int, forms: list[str]) -> None:
    """Write, measure, print."""
    print(f"{count:,} triplets; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before\n")
    print("| form | file, MB | first time, s | next time, s | peak, MB | of 10,000 triplets, MB |")
    print("|---|---|---|---|---|---|")
    for form in forms:
        with tempfile.TemporaryDirectory() as folder:
            many, few = (Path(folder) / f"{name}.{form}" for name in ("many", "few"))
            write(many, count)
            write(few, FEW)
            cache = Path(folder) / "cache"
            small = measured(few, cache)
            first, following = measured(many, cache), measured(many, cache)
            assert first["count"] == following["count"] == count
            peaks = f"{first['megabytes']:.0f}, {following['megabytes']:.0f}"
            print(
                f"| {form} | {many.stat().st_size / 1e6:,.0f} | {first['seconds']:.1f} "
                f"| {following['seconds']:.1f} | {peaks} | {small['megabytes']:.0f} |",
                flush=True,
            )
    print(f"\nLoad {os.getloadavg()[0]:.1f} after. Peaks: of the first time, of the next.")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        first_step(Path(sys.argv[2]))
    else:
        number = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
        main(number, sys.argv[2:] or ["jsonl", "json", "jsonl.gz", "parquet"])
