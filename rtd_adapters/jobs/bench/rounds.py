"""The run: cases take a step each, round after round, and every figure is a median over rounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from rtd_adapters.jobs.bench.cases import BenchCase, BenchRow
from rtd_adapters.jobs.bench.memory import peak_memory
from rtd_adapters.jobs.bench.stepper import Stepper
from rtd_adapters.jobs.bench.texts import real_tokens, seconds_of_data, triplet_stream
from rtd_adapters.jobs.say import Say


@dataclass(frozen=True)
class Timing:
    """What the rounds of some cases gave, which the rows are made of."""

    seconds: list[list[float]]
    """Of each case, in each round."""
    data_seconds: float
    """To have a batch ready; median."""
    tokens: float
    """Of a batch; median."""
    operations: list[int]
    """Of each case's step."""


def bench(
    backbones: Sequence[str], kinds: Sequence[str], batch_size: int, rounds: int, say: Say
) -> Iterator[BenchRow]:
    """Time every engine on every backbone and kind.

    Args:
        backbones: open_clip models, or model-config JSON files.
        kinds: of patches.
        batch_size: triplets a step.
        rounds: steps that each case takes.
        say: told in a line what happens next.

    Raises:
        BackboneError: open_clip knows no such text tower.
        TrainingError: a step failed, mostly for want of memory.
    """
    for backbone in backbones:
        for kind in kinds:
            cases = BenchCase(backbone, kind, batch_size).variants()
            memory = [_peak_memory(case, say) for case in cases]
            timing = _time_in_turn(cases, rounds, say)
            yield from _rows(cases, memory, timing)


def _peak_memory(case: BenchCase, say: Say) -> float:
    say(f"{_title(case)}: memory in a process of its own")
    return peak_memory(case)


def _time_in_turn(cases: Sequence[BenchCase], rounds: int, say: Say) -> Timing:
    stream = triplet_stream(cases[0].batch_size)
    first, *batches = [stream.batch(number) for number in range(rounds + 1)]
    steppers = [Stepper(case, [first, *batches]) for case in cases]
    towers = steppers[0].towers
    operations = [stepper.operations(first) for stepper in steppers]
    seconds: list[list[float]] = [[] for _ in cases]
    data = []
    for number, batch in enumerate(batches, start=1):
        data.append(seconds_of_data(towers, stream, number))
        for case, stepper, taken in zip(cases, steppers, seconds, strict=True):
            taken.append(stepper.step(batch))
            say(f"{_title(case)}: round {number}, {taken[-1]:.2f} s")
    tokens = median(real_tokens(towers, batch) for batch in batches)
    return Timing(seconds, median(data), tokens, operations)


def _rows(
    cases: Sequence[BenchCase], memory: Sequence[float], timing: Timing
) -> Iterator[BenchRow]:
    reference = timing.seconds[0]
    for case, peak, taken, operations in zip(
        cases, memory, timing.seconds, timing.operations, strict=True
    ):
        seconds = median(taken)
        yield BenchRow(
            case,
            seconds_per_step=seconds,
            triplets_per_second=case.batch_size / seconds,
            tokens_per_second=timing.tokens / seconds,
            gflops=operations / seconds / 1e9,
            data_share=timing.data_seconds / seconds,
            peak_memory_mb=peak,
            speedup=median(slow / own for slow, own in zip(reference, taken, strict=True)),
        )


def _title(case: BenchCase) -> str:
    return f"{case.backbone}, {case.kind}, {case.label}"
