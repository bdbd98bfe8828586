"""What takes the figures of a sweep's patches: a benchmark, or what `rtd patch` itself measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from rtd_adapters.evaluation.figures import make_result
from rtd_adapters.evaluation.inputs import Evaluation, patched_tower
from rtd_adapters.evaluation.measures import headline
from rtd_adapters.evaluation.outcomes import search_parts
from rtd_adapters.evaluation.result import Outcome
from rtd_adapters.jobs.evaluate import EvalJob, load_evaluation
from rtd_adapters.jobs.inputs import PatchJob, load_inputs
from rtd_adapters.jobs.patch import measuring
from rtd_adapters.jobs.say import Say
from rtd_adapters.patch import TextEncoderPatch

Values = Mapping[str, list[float]]
"""Part of a benchmark -> a value for each query, in per cent."""


@dataclass(frozen=True)
class SweepFigures:
    """What one patch is worth at one strength."""

    before: dict[str, float]
    after: dict[str, float]
    intervals: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Metric -> 95 % interval of after minus before; empty where there are no queries to draw."""
    queries: Mapping[str, Values] = field(default_factory=dict)
    """`before` and `after` -> values of the first metric; empty likewise."""


class Judge(Protocol):
    """Takes figures of a patch."""

    def figures(self, job: PatchJob, patch: TextEncoderPatch, strength: float) -> SweepFigures:
        """Of the patch that a job learned, at a strength."""


@dataclass(frozen=True)
class BenchmarkJudge:
    """A benchmark, embedded once and searched by each patch."""

    searched: EvalJob
    say: Say

    @cached_property
    def evaluation(self) -> Evaluation:
        """Loaded when it is first asked for."""
        return load_evaluation(self.searched, "val", self.say)

    @cached_property
    def base(self) -> list[list[Outcome]]:
        """Outcomes of the base encoder."""
        return search_parts(self.evaluation, self.evaluation.backbone.tower, "searching, base")

    def figures(self, job: PatchJob, patch: TextEncoderPatch, strength: float) -> SweepFigures:
        """All metrics of the benchmark, with intervals."""
        tower = patched_tower(self.evaluation.backbone, patch, strength)
        patched = search_parts(self.evaluation, tower, "searching, patched")
        result = make_result(self.evaluation, self.base, patched, patch)
        queries = {"before": self._values(self.base), "after": self._values(patched)}
        return SweepFigures(result.base, result.patched or {}, result.intervals, queries)

    def _values(self, outcomes: list[list[Outcome]]) -> Values:
        parts = zip(self.evaluation.benchmark.parts, headline(outcomes)[1], strict=True)
        return {part.name: values.tolist() for part, values in parts}


@dataclass(frozen=True)
class OwnJudge:
    """What `rtd patch` measures: the backbone's own world, or held-out triplets."""

    say: Say

    def figures(self, job: PatchJob, patch: TextEncoderPatch, strength: float) -> SweepFigures:
        """As the patch's metadata has them; below full strength they are taken anew."""
        figures = patch.metadata.figures
        if strength == 1:
            return SweepFigures(figures["before"], figures["after"])
        inputs = load_inputs(job, self.say)
        measure = measuring(job, inputs, inputs.trainer(job), self.say)
        tower = patched_tower(inputs.backbone, patch, strength)
        return SweepFigures(figures["before"], measure(tower))
