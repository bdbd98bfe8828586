"""Times the training step on this machine, engines in turn, so that noise hits all alike.

Weights are random and texts are the built-in world's: a step's time depends on neither, only on the
tower's size and the texts' lengths.
"""

from __future__ import annotations

import copy
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from rtd_adapters.clip.backbones import DEFAULT
from rtd_adapters.clip.shapes import BackboneShape
from rtd_adapters.clip.text import TextTower, TowerConfig
from rtd_adapters.errors import BackboneError, TrainingError
from rtd_adapters.hooks.registry import get_method, registry
from rtd_adapters.jobs.memory import peak_mb, resident_mb
from rtd_adapters.methods.method import Method
from rtd_adapters.patch.lora import LoRASettings, insert_lora
from rtd_adapters.training import Engine, Towers, TrainingSettings
from rtd_adapters.training.anchor_store import AnchorStore
from rtd_adapters.training.batches import TripletBatch, TripletStream
from rtd_adapters.training.engines import engine_class
from rtd_adapters.training.onednn import product, product_operations
from rtd_adapters.training.optimizer import make_optimizer
from rtd_adapters.training.settings import EngineName, Precision
from rtd_adapters.training.step import StepContext

MEMORY_STEPS = 2
MATMUL_SIZE = 2048
ONEDNN = {torch.ops.mkldnn._linear_pointwise: product_operations}
"""What a FLOP counter does not know by itself."""


@dataclass(frozen=True)
class BenchCase:
    """What is timed."""

    backbone: str
    kind: str
    batch_size: int
    engine: EngineName = "reference"
    anchors_cached: bool = False
    """All captions' anchors are on disk."""
    mixed_precision: Precision = "no"
    method: str = "searle"

    @property
    def label(self) -> str:
        """The engine, and what it was given."""
        return _label(self.engine, self.anchors_cached, self.mixed_precision)

    def variants(self) -> list[BenchCase]:
        """The cases that are compared, the reference first."""
        fast = replace(self, engine="fast")
        cached = replace(fast, anchors_cached=True)
        return [self, fast, cached, replace(cached, mixed_precision="bf16")]


@dataclass(frozen=True)
class BenchRow:
    """What was measured of one case; times are medians over the rounds."""

    backbone: str
    kind: str
    engine: str
    anchors_cached: bool
    mixed_precision: str
    batch_size: int
    seconds_per_step: float
    triplets_per_second: float
    tokens_per_second: float
    """Of captions and prompts, without padding, whether computed apart, shared or found."""
    gflops: float
    """10^9 operations a second in matrix products, padding's and repetitions' included."""
    data_share: float
    """Of a step's time, to draw, clean and tokenize the next batch."""
    peak_memory_mb: float
    """Of a process of its own, above what it took before the towers were built."""
    speedup: float
    """Median over the rounds of the reference step's time over this one's, in the same round."""

    @property
    def label(self) -> str:
        """The engine, and what it was given."""
        return _label(self.engine, self.anchors_cached, self.mixed_precision)


class Stepper:
    """One engine with its towers and its optimiser."""

    def __init__(self, case: BenchCase, batches: Sequence[TripletBatch]) -> None:
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
        settings = TrainingSettings(batch_size=case.batch_size, engine=case.engine)
        context = StepContext(autocast=_autocast(case.mixed_precision))
        if case.anchors_cached:
            self._folder = tempfile.TemporaryDirectory()
            context = replace(context, store=self._store(Path(self._folder.name), batches))
        self.engine: Engine = engine_class(case.engine)(self.towers, settings, context)
        self.optimizer = make_optimizer(student, settings)

    def step(self, batch: TripletBatch) -> float:
        """Seconds of one optimiser step."""
        started = time.perf_counter()
        self.engine.step(batch, lambda loss: loss.backward())
        self.optimizer.step()
        self.optimizer.zero_grad()
        return time.perf_counter() - started

    def operations(self, batch: TripletBatch) -> int:
        """Floating-point operations of a step's matrix products."""
        with FlopCounterMode(display=False, custom_mapping=ONEDNN) as counter:
            self.step(batch)
        return counter.get_total_flops()

    def _store(self, root: Path, batches: Sequence[TripletBatch]) -> AnchorStore:
        dimension = self.towers.frozen.config.embed_dim
        store = AnchorStore("random", dimension, "random", root=root)
        captions = [text for batch in batches for text in (*batch.targets, *batch.references)]
        distinct = list(dict.fromkeys(captions))
        store.add(distinct, torch.randn(len(distinct), dimension))
        store.flush()
        return store


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
            yield from _bench_variants(BenchCase(backbone, kind, batch_size), rounds, say)


def _bench_variants(
    reference: BenchCase, rounds: int, say: Callable[[str], None]
) -> Iterator[BenchRow]:
    title = f"{reference.backbone}, {reference.kind}"
    cases, memory = reference.variants(), []
    for case in cases:
        say(f"{title}, {case.label}: memory in a process of its own")
        memory.append(peak_memory(case))
    stream = _stream(reference)
    batches = [stream.batch(number) for number in range(rounds + 1)]
    steppers = [Stepper(case, batches) for case in cases]
    operations = [stepper.operations(batches[0]) for stepper in steppers]
    times: list[list[float]] = [[] for _ in cases]
    data = []
    for number in range(1, rounds + 1):
        data.append(_seconds_of_data(steppers[0].towers, stream, number))
        for case, stepper, taken in zip(cases, steppers, times, strict=True):
            taken.append(stepper.step(batches[number]))
            say(f"{title}, {case.label}: round {number}, {taken[-1]:.2f} s")
    tokens = median(real_tokens(steppers[0].towers, batch) for batch in batches[1:])
    for case, taken, count, peak in zip(cases, times, operations, memory, strict=True):
        seconds = median(taken)
        yield BenchRow(
            backbone=case.backbone,
            kind=case.kind,
            engine=case.engine,
            anchors_cached=case.anchors_cached,
            mixed_precision=case.mixed_precision,
            batch_size=case.batch_size,
            seconds_per_step=seconds,
            triplets_per_second=case.batch_size / seconds,
            tokens_per_second=tokens / seconds,
            gflops=count / seconds / 1e9,
            data_share=median(data) / seconds,
            peak_memory_mb=peak,
            speedup=median(slow / own for slow, own in zip(times[0], taken, strict=True)),
        )


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
    return int((towers.frozen.ends(towers.tokenizer.encode(texts)) + 1).sum())


def this_machine() -> dict[str, Any]:
    """What the figures depend on: processor, threads, PyTorch and the fp32 matmul peak."""
    return {
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "matmul_gflops": round(matmul_gflops(), 1),
    }


def matmul_gflops() -> float:
    """This machine's fp32 matrix product, in 10^9 operations a second; the best of ten.

    PyTorch's own choice of library and oneDNN take turns.
    """
    a, b = (torch.randn(MATMUL_SIZE, MATMUL_SIZE) for _ in "ab")
    best = float("inf")
    ways: list[Callable[[Tensor, Tensor], Tensor]] = [torch.mm, product]
    for multiply in ways * 5:
        started = time.perf_counter()
        multiply(a, b)
        best = min(best, time.perf_counter() - started)
    return 2 * MATMUL_SIZE**3 / best / 1e9


def peak_memory(case: BenchCase) -> float:
    """Peak of a few steps in a fresh process, in MB above its base.

    Raises:
        TrainingError: the process failed.
    """
    command = [sys.executable, "-m", "rtd_adapters.jobs.bench", json.dumps(asdict(case))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise TrainingError(f"measuring {case.label} failed: {last}. Try a smaller --batch-size.")
    return float(done.stdout)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    width = torch.backends.cpu.get_cpu_capability()
    return f"{names[0] if names else platform.machine()} ({width})"


def _label(engine: str, anchors_cached: bool, mixed_precision: str) -> str:
    extras = ["anchors cached"] * anchors_cached + [mixed_precision] * (mixed_precision != "no")
    return ", ".join([engine, *extras])


def _stream(case: BenchCase) -> TripletStream:
    triplets = registry().backbones[DEFAULT].triplets() or []
    tokenizer = get_method(case.method).tokenizer(77)
    return TripletStream(triplets, tokenizer, batch_size=case.batch_size, seed=0)


def _seconds_of_data(towers: Towers, stream: TripletStream, number: int) -> float:
    """What it takes to draw, clean and tokenize a batch for the first time."""
    started = time.perf_counter()
    real_tokens(towers, stream.batch(number + 1_000_000))
    return time.perf_counter() - started


def _autocast(precision: Precision) -> Callable[[], AbstractContextManager]:
    if precision == "no":
        return nullcontext
    return lambda: torch.autocast("cpu", torch.bfloat16)


def _measure(case: BenchCase) -> float:
    stream = _stream(case)
    batches = [stream.batch(number) for number in range(MEMORY_STEPS)]
    base = resident_mb()  # not the peak: imports leave one that a small model would hide under
    stepper = Stepper(case, batches)
    for batch in batches:
        stepper.step(batch)
    return peak_mb() - base


if __name__ == "__main__":
    print(_measure(BenchCase(**json.loads(sys.argv[1]))))
