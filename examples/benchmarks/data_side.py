"""How long a step waits for its batch: python examples/benchmarks/data_side.py [ROUNDS].

The main thread is busy at a set pace: matrix products that fill a thirtieth of a second, or Python
that does (as a GPU's step is, which only gives orders). Before each step it asks for a batch of 128
made-up triplets, not seen before, drawn from an indexed file, cleaned, tokenized and packed. What
it waits for is timed, and how much longer the whole takes than the steps alone. Batches are made in
this thread, in another thread of this process, or in a worker process (`--prefetch 1`); they take
turns, round after round, and medians over the rounds are printed, with the load of the machine.
"""

from __future__ import annotations

import os
import pickle
import random
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from statistics import median

import torch

from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.clip.shapes import BackboneShape
from rtd_adapters.clip.text import TextTower, TowerConfig
from rtd_adapters.compute.ahead import Ahead
from rtd_adapters.methods.installed import get_method
from rtd_adapters.training import RunOptions, Towers, TrainingSettings, preparation
from rtd_adapters.training.batches import TripletStream
from rtd_adapters.training.preparation import Apart, Preparation, batches_ahead, hollow_towers
from rtd_adapters.training.step import StepContext
from rtd_adapters.triplets import Triplet, read_triplets, write_triplets

BATCH, ROWS = 128, 160_000
STEPS, PACE = 60, 1 / 30
WORDS = 20_000


def sentences(seed: int):
    """Made-up captions, words by Zipf's law, some with what tokenizers trip over."""
    draw = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(draw.choices(letters, k=draw.randrange(2, 10))) for _ in range(WORDS)]
    weights = list(accumulate(1 / (place + 10) for place in range(WORDS)))
    odd = ["café", "&amp;", "<PERSON>", "$5", "it's", "3.5", "“so”", "A4"]
    while True:
        text = draw.choices(words, cum_weights=weights, k=draw.randrange(6, 18))
        if draw.random() < 0.1:
            text.append(draw.choice(odd))
        yield " ".join(text)


def towers() -> Towers:
    """A text tower of CLIP's shape without weights to speak of, and SEARLE's projection."""
    method = get_method("searle")
    tower = TextTower(TowerConfig(512, 1, 8, 512, "quick_gelu"))
    backbone = Backbone("none", None, tower, BackboneShape(512, 512, 768), None, None)
    projection = method.build_projection(backbone.shape).eval()
    return Towers(method, projection, tower, tower, method.tokenizer(tower))


def products(seconds: float) -> None:
    """Matrix products for so long; they hold no lock of Python's."""
    ended = time.perf_counter() + seconds
    while time.perf_counter() < ended:
        torch.mm(LARGE, LARGE)


def orders(seconds: float) -> None:
    """Python for so long, with many small calls into torch."""
    ended = time.perf_counter() + seconds
    while time.perf_counter() < ended:
        for _ in range(20):
            torch.add(SMALL, SMALL)


class InThread:
    """What a worker process does, in a thread of this one; two batches ahead."""

    def __init__(self, make) -> None:
        self._pool, self._make, self._coming = ThreadPoolExecutor(1), make, {}

    def __call__(self, number: int):
        for ahead in range(number, number + 3):
            if ahead not in self._coming:
                self._coming[ahead] = self._pool.submit(self._make, ahead)
        return self._coming.pop(number).result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def waits(get, busy, first: int) -> tuple[float, float]:
    """Median milliseconds of a step's wait, and of the whole step."""
    get(first)
    waited, began = [], time.perf_counter()
    for number in range(first + 1, first + 1 + STEPS):
        asked = time.perf_counter()
        get(number)
        waited.append(time.perf_counter() - asked)
        busy(PACE)
    whole = (time.perf_counter() - began) / STEPS
    return 1e3 * median(waited), 1e3 * whole


def throughput(workers: int, first: int) -> tuple[float, float]:
    """Batches a second of the data side alone, taken as they come: the first 200 of fresh workers,
    to whom every word is new, and the next 400."""
    with ahead_of(workers, first) as get:
        get(first)
        rates, number = [], first + 1
        for count in (200, 400):
            began = time.perf_counter()
            for _ in range(count):
                get(number)
                number += 1
            rates.append(count / (time.perf_counter() - began))
        return rates[0], rates[1]


def ahead_of(workers: int, first: int) -> Ahead:
    """Batches by workers that are waited for at the first one."""
    settings = replace(SETTINGS, steps=first + 601)
    options = RunOptions(prefetch=workers)
    return batches_ahead(STREAM, TOWERS, settings, options, StepContext())


def load() -> str:
    """Of the machine, over a minute."""
    return f"{os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    preparation.PATIENCE = 120.0
    torch.set_num_threads(1)
    LARGE, SMALL = torch.randn(256, 256), torch.randn(8, 8)
    before = load()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RTD_CACHE"] = str(Path(folder) / "cache")
        texts, file = sentences(0), Path(folder) / "triplets.jsonl"
        rows = (Triplet(next(texts), next(texts), next(texts)) for _ in range(ROWS))
        write_triplets(file, rows)
        TOWERS, SETTINGS = towers(), TrainingSettings(batch_size=BATCH, steps=10)
        STREAM = TripletStream(read_triplets(file), TOWERS.tokenizer, batch_size=BATCH, seed=0)
        empty = hollow_towers(TOWERS)
        here = Preparation(STREAM, empty, SETTINGS, Apart(0, 1))
        thread = pickle.loads(pickle.dumps(here))
        steps = {"matrix products": products, "Python": orders}
        found: dict[tuple[str, str], list[tuple[float, float]]] = {}
        rates: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
        for turn in range(rounds):
            first = 1000 * turn
            for name, busy in steps.items():
                threaded = InThread(thread)
                with ahead_of(1, first + 400) as process:
                    for place, (who, get) in enumerate(
                        {
                            "this thread": here,
                            "another thread": threaded,
                            "a worker process": process,
                        }.items()
                    ):
                        taken = waits(get, busy, first + (place + 2) % 3 * 200)
                        found.setdefault((name, who), []).append(taken)
                threaded.close()
            for workers, taken_rates in rates.items():
                taken_rates.append(throughput(workers, first))
            print(f"round {turn} done, load {load()}", file=sys.stderr)
    print(
        f"Batches of {BATCH}, steps of {1e3 * PACE:.0f} ms, {rounds} rounds, medians; one thread of"
    )
    print(f"torch, {os.cpu_count()} cores, load {before} before, {load()} after\n")
    print("| the step is | batches are made in | wait, ms | step and wait, ms |\n|---|---|---|---|")
    for (name, who), pairs in found.items():
        wait, whole = (median(values) for values in zip(*pairs, strict=True))
        print(f"| {name} | {who} | {wait:.2f} | {whole:.1f} |")
    print("\nBatches a second, the data side alone:\n")
    print("| workers | the first 200, every word new | the next 400 |\n|---|---|---|")
    for workers, pairs in rates.items():
        new, known = (median(values) for values in zip(*pairs, strict=True))
        print(f"| {workers} | {new:.0f} | {known:.0f} |")
