"""Times the training step on this machine, engines in turn, so that noise hits both alike.

Weights are random and texts are the built-in world's: a step's time depends on neither, only on the
tower's size and the texts' lengths.
"""

from __future__ import annotations

import copy
import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from rtd_adapters.demo.triplets import demo_triplets
from rtd_adapters.errors import BackboneError, TrainingError
from rtd_adapters.methods import BackboneShape, Method
from rtd_adapters.patch.lora import LoRASettings, insert_lora
from rtd_adapters.registry import get_method
from rtd_adapters.text import TextTower, TowerConfig
from rtd_adapters.training import Engine, Towers, TrainingSettings
from rtd_adapters.training.batches import TripletBatch, TripletStream
from rtd_adapters.training.checkpoints import trained_tensors
from rtd_adapters.training.trainer import ENGINES

TRIPLETS = 2_000
MEMORY_STEPS = 2
MATMUL_SIZE = 2048


@dataclass(frozen=True)
class BenchCase:
    """What is timed."""

    backbone: str
    kind: str
    engine: str
    batch_size: int
    method: str = "searle"


@dataclass(frozen=True)
class BenchRow:
    """What was measured of one case; times are medians over the rounds."""

    backbone: str
    kind: str
    engine: str
    batch_size: int
    seconds_per_step: float
    triplets_per_second: float
    tokens_per_second: float
    """Of captions and prompts, without padding, whether computed apart or shared."""
    peak_memory_mb: float
    """Of a process of its own, above what it took before the towers were built."""
    speedup: float
    """Median over the rounds of the reference step's time over this one's, in the same round."""


class Stepper:
    """One engine with its towers and its optimiser."""

    def __init__(self, case: BenchCase) -> None:
        method = get_method(case.method)
        frozen = random_tower(case.backbone)
        shape = BackboneShape(frozen.config.embed_dim, frozen.config.width, 0)
        projection = method.build_projection(shape).eval().requires_grad_(False)
        student = copy.deepcopy(frozen).requires_grad_(True)
        if case.kind == "lora":
            insert_lora(student, LoRASettings())
        self.towers = Towers(
            method, projection, frozen, student, method.tokenizer(frozen.config.context_length)
        )
        settings = TrainingSettings(batch_size=case.batch_size)
        self.engine: Engine = ENGINES[case.engine](self.towers, settings)
        self.optimizer = torch.optim.AdamW(
            trained_tensors(student).values(), lr=settings.learning_rate, fused=True
        )

    def step(self, batch: TripletBatch) -> float:
        """Seconds of one optimiser step."""
        started = time.perf_counter()
        self.engine.step(batch, lambda loss: loss.backward())
        self.optimizer.step()
        self.optimizer.zero_grad()
        return time.perf_counter() - started


def bench(
    backbones: Sequence[str],
    kinds: Sequence[str],
    batch_size: int,
    rounds: int,
    say: Callable[[str], None],
) -> Iterator[BenchRow]:
    """Time every engine on every backbone and kind.

    Raises:
        BackboneError: open_clip knows no such text tower.
    """
    for backbone in backbones:
        for kind in kinds:
            yield from _bench_engines(backbone, kind, batch_size, rounds, say)


def _bench_engines(
    backbone: str, kind: str, batch_size: int, rounds: int, say: Callable[[str], None]
) -> Iterator[BenchRow]:
    cases = [BenchCase(backbone, kind, engine, batch_size) for engine in ("reference", "fast")]
    memory = {}
    for case in cases:
        say(f"{backbone}, {kind}, {case.engine}: memory in a process of its own")
        memory[case.engine] = peak_memory(case)
    steppers = {case.engine: Stepper(case) for case in cases}
    batches = _batches(steppers["fast"].towers, batch_size)
    times: dict[str, list[float]] = {engine: [] for engine in steppers}
    for stepper in steppers.values():
        stepper.step(batches.batch(0))
    for number in range(1, rounds + 1):
        for engine, stepper in steppers.items():
            times[engine].append(stepper.step(batches.batch(number)))
            say(f"{backbone}, {kind}, {engine}: round {number}, {times[engine][-1]:.2f} s")
    tokens = median(
        real_tokens(steppers["fast"].towers, batches.batch(number))
        for number in range(1, rounds + 1)
    )
    for case in cases:
        seconds = median(times[case.engine])
        pairs = zip(times["reference"], times[case.engine], strict=True)
        yield BenchRow(
            backbone, kind, case.engine, batch_size, seconds, batch_size / seconds,
            tokens / seconds, memory[case.engine], median(slow / own for slow, own in pairs),
        )  # fmt: skip


def random_tower(backbone: str) -> TextTower:
    """A text tower with random weights, of the size of an open_clip model or config JSON.

    Raises:
        BackboneError: open_clip knows no such model, or its text tower is not CLIP's.
    """
    import open_clip

    is_file = backbone.endswith(".json") and Path(backbone).is_file()
    config = json.loads(Path(backbone).read_text()) if is_file else None
    config = config or open_clip.get_model_config(backbone)
    text = (config or {}).get("text_cfg", {})
    if "width" not in text:
        raise BackboneError(
            f"{backbone!r} is no open_clip model with a CLIP text tower. Try ViT-B-32 or ViT-L-14."
        )
    activation = "quick_gelu" if (config or {}).get("quick_gelu") else "gelu"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tower = TextTower(
            TowerConfig(
                width=text["width"],
                layers=text["layers"],
                heads=text["heads"],
                embed_dim=config["embed_dim"],
                activation=activation,
                vocab_size=text["vocab_size"],
                context_length=text["context_length"],
            )
        )
    return tower.eval().requires_grad_(False)


def real_tokens(towers: Towers, batch: TripletBatch) -> int:
    """Tokens of a refined batch without padding: captions on the frozen side, prompts on ours."""
    method: Method = towers.method
    prompts = [method.composed_prompt.format(text=text) for text in batch.conditioning]
    texts = [*batch.targets, *batch.references, *prompts, *[method.bare_prompt] * len(batch)]
    return int((towers.tokenizer.encode(texts).argmax(dim=1) + 1).sum())


def matmul_gflops() -> float:
    """This machine's fp32 matrix product, in 10^9 operations a second; the best of five."""
    a, b = (torch.randn(MATMUL_SIZE, MATMUL_SIZE) for _ in "ab")
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - started)
    return 2 * MATMUL_SIZE**3 / best / 1e9


def peak_memory(case: BenchCase) -> float:
    """Peak of a few steps in a fresh process, in MB above its base.

    Raises:
        TrainingError: the process failed.
    """
    command = [sys.executable, "-m", "rtd_adapters.bench", json.dumps(asdict(case))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise TrainingError(f"measuring {case.engine} failed: {last}. Try a smaller --batch-size.")
    return float(done.stdout)


def _batches(towers: Towers, batch_size: int) -> TripletStream:
    count = max(TRIPLETS, 2 * batch_size)
    triplets: Any = demo_triplets(count, 0)
    return TripletStream(triplets, towers.tokenizer, batch_size=batch_size, seed=0)


def _measure(case: BenchCase) -> float:
    method = get_method(case.method)
    triplets: Any = demo_triplets(max(TRIPLETS, 2 * case.batch_size), 0)
    tokenizer = method.tokenizer(77)
    stream = TripletStream(triplets, tokenizer, batch_size=case.batch_size, seed=0)
    batches = [stream.batch(number) for number in range(MEMORY_STEPS)]
    base = _high_water_mb()
    stepper = Stepper(case)
    for batch in batches:
        stepper.step(batch)
    return _high_water_mb() - base


def _high_water_mb() -> float:
    """Peak memory of this program; on Linux `ru_maxrss` would still hold its parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) / 1e3  # type: ignore[index]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    print(_measure(BenchCase(**json.loads(sys.argv[1]))))
