"""The run: cases take a step each, round after round, and every figure is a median over rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from rtd_adapters.compute.half_precision import emulated
from rtd_adapters.jobs.bench.budget import PROBE_SHARE, Budget, fitting
from rtd_adapters.jobs.bench.cases import BenchCase, BenchRow
from rtd_adapters.jobs.bench.probe import Probe, probe
from rtd_adapters.jobs.bench.stepper import Stepper
from rtd_adapters.jobs.bench.texts import real_tokens, seconds_of_data, triplet_stream
from rtd_adapters.jobs.say import Say


@dataclass
class Bench:
    """What was measured, and what was not."""

    rows: list[BenchRow] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """Cases, and why they are."""


@dataclass(frozen=True)
class Timing:
    """What the rounds of some cases gave, which the rows are made of."""

    seconds: list[list[float]]
    """Of each case, in each round."""
    data_seconds: float
    """To have a batch ready; median."""
    tokens: float
    """Of a batch; median."""


def bench(
    backbones: Sequence[str],
    kinds: Sequence[str],
    batch_size: int,
    rounds: int,
    budget: Budget,
    say: Say,
) -> Bench:
    """Time every engine on every backbone and kind, as far as there is time.

    Every case is tried in a process of its own first. What would not fit is left out, which is
    said, and so are precisions that this CPU only emulates.

    Args:
        backbones: open_clip models, or model-config JSON files.
        kinds: of patches.
        batch_size: triplets a step.
        rounds: steps that each case takes, at most.
        budget: of all of them.
        say: told in a line what happens next.

    Raises:
        BackboneError: open_clip knows no such text tower.
        TrainingError: a step failed, mostly for want of memory.
    """
    found = Bench()
    groups = [BenchCase(backbone, kind, batch_size) for backbone in backbones for kind in kinds]
    for number, case in enumerate(groups):
        _compare(case.variants(), rounds, budget.share(len(groups) - number), found, say)
    return found


def _compare(
    cases: Sequence[BenchCase], rounds: int, budget: Budget, found: Bench, say: Say
) -> None:
    def leave_out(case: BenchCase, why: str) -> None:
        found.left_out[case.title] = why
        say(f"{case.title}: left out, {why}")

    probes: dict[BenchCase, Probe] = {}
    for case in cases:
        if emulated(case.mixed_precision):
            leave_out(case, f"this CPU has no {case.mixed_precision} units and emulates them")
            continue
        limit = PROBE_SHARE * budget.left
        say(f"{case.title}: tried in a process of its own, for {limit:.0f} s at most")
        tried = probe(case, limit)
        if tried is None:
            leave_out(case, f"two steps take more than the {limit:.0f} s that there are")
        else:
            probes[case] = tried
    chosen, able = fitting(cases, probes, rounds, budget.left)
    for case in probes:
        if case not in chosen:
            leave_out(case, f"a step takes {probes[case].seconds:.1f} s, and time is up")
    if chosen and able < rounds:
        say(f"{chosen[0].backbone}, {chosen[0].kind}: {able} of {rounds} rounds, for want of time")
    if chosen:
        found.rows += _rows(chosen, probes, _time_in_turn(chosen, able, budget, say))


def _time_in_turn(cases: Sequence[BenchCase], rounds: int, budget: Budget, say: Say) -> Timing:
    """Rounds of all cases; fewer than wanted where the machine has become slower."""
    stream = triplet_stream(cases[0].batch_size)
    first, *batches = [stream.batch(number) for number in range(rounds + 1)]
    steppers = [Stepper(case, [first, *batches]) for case in cases]
    towers = steppers[0].towers
    warm = sum(stepper.step(first) for stepper in steppers)
    seconds: list[list[float]] = [[] for _ in cases]
    data: list[float] = []
    for number, batch in enumerate(batches, start=1):
        if data and budget.left < warm:
            break
        data.append(seconds_of_data(towers, stream, number))
        for case, stepper, taken in zip(cases, steppers, seconds, strict=True):
            taken.append(stepper.step(batch))
            say(f"{case.title}: round {number}, {taken[-1]:.2f} s")
    tokens = median(real_tokens(towers, batch) for batch in batches)
    return Timing(seconds, median(data), tokens)


def _rows(
    cases: Sequence[BenchCase], probes: Mapping[BenchCase, Probe], timing: Timing
) -> list[BenchRow]:
    plain = timing.seconds[0] if cases[0].engine == "reference" else None
    rows = []
    for case, taken in zip(cases, timing.seconds, strict=True):
        seconds = median(taken)
        times = plain and median(slow / own for slow, own in zip(plain, taken, strict=True))
        rows.append(
            BenchRow(
                case,
                seconds_per_step=seconds,
                triplets_per_second=case.batch_size / seconds,
                tokens_per_second=timing.tokens / seconds,
                gflops=probes[case].operations / seconds / 1e9,
                data_share=timing.data_seconds / seconds,
                peak_memory_mb=probes[case].peak_memory_mb,
                speedup=times or None,
            )
        )
    return rows
