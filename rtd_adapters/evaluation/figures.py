"""From outcomes to a result: scores, averages, intervals, records and the conditions."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

from rtd_adapters.evaluation.benchmark import Benchmark, EvalQuery, Part
from rtd_adapters.evaluation.inputs import Evaluation
from rtd_adapters.evaluation.result import (
    BASE,
    PATCHED,
    SHOWN,
    Column,
    Outcome,
    QueryRecord,
    Result,
)
from rtd_adapters.evaluation.scores import Scores, figures, intervals, p_values, scores
from rtd_adapters.patch import TextEncoderPatch

LIBRARIES = ("rtd-adapters", "torch", "open_clip_torch", "transformers", "pillow")


@dataclass(frozen=True)
class Searched:
    """A further search of the same queries."""

    about: str
    """What it is, with source and settings."""
    outcomes: list[list[Outcome]]
    """Part by part."""


def make_result(
    evaluation: Evaluation,
    base: list[list[Outcome]],
    patched: list[list[Outcome]] | None,
    patch: TextEncoderPatch | None,
    others: Mapping[str, Searched] = MappingProxyType({}),
) -> Result:
    """Figures in per cent, every query's record and values, and the conditions.

    Args:
        evaluation: what was searched.
        base, patched: outcomes of the two searches, part by part; `patched` is None without one.
        patch: what the second search was made with.
        others: further searches of the same queries, by the name of their column.
    """
    benchmark = evaluation.benchmark
    searches = {BASE: base, **({PATCHED: patched} if patched else {})}
    searches |= {name: search.outcomes for name, search in others.items()}
    values = {name: _values(benchmark, outcomes) for name, outcomes in searches.items()}
    parts = [part.name for part in benchmark.parts for _ in part.queries]
    found = {name: scores(columns, parts) for name, columns in values.items()}
    before, after = found[BASE], found.get(PATCHED)
    return Result(
        evaluation.method.name,
        benchmark.name,
        benchmark.split,
        figures(before),
        figures(after) if after is not None else None,
        intervals(after, before) if after is not None else {},
        _queries(benchmark, base, patched),
        _settings(evaluation, patch),
        p_values(after, before) if after is not None else {},
        {name: _column(search.about, found[name], before) for name, search in others.items()},
        values,
    )


def _values(benchmark: Benchmark, outcomes: list[list[Outcome]]) -> dict[str, list[float]]:
    """Metric -> its value of each query, part after part."""
    if benchmark.hidden:
        return {}
    every = [outcome.values for part in outcomes for outcome in part]
    return {name: [values[name] for values in every] for name in every[0]}


def _column(about: str, found: Scores, base: Scores) -> Column:
    return Column(about, figures(found), intervals(found, base), p_values(found, base))


def _queries(
    benchmark: Benchmark,
    base: list[list[Outcome]],
    patched: list[list[Outcome]] | None,
) -> list[QueryRecord]:
    return [
        _record(part, query, old, new)
        for part, olds, news in zip(benchmark.parts, base, patched or base, strict=True)
        for query, old, new in zip(part.queries, olds, news, strict=True)
    ]


def _record(part: Part, query: EvalQuery, old: Outcome, new: Outcome) -> QueryRecord:
    before, after = old.top[:SHOWN], new.top[:SHOWN]
    shown = {*before, *after}
    return QueryRecord(
        query.id,
        part.name,
        query.reference,
        query.texts[0],
        # All of them would make files of some hundred megabytes, where they are whole classes.
        [image for n, image in enumerate(query.targets) if n < SHOWN or image in shown],
        query.category,
        old.rank,
        new.rank,
        before,
        after,
        len(query.targets),
    )


def _settings(evaluation: Evaluation, patch: TextEncoderPatch | None) -> dict[str, Any]:
    benchmark, options = evaluation.benchmark, evaluation.options
    about = patch.metadata if patch else None
    return {
        "prompt": evaluation.method.composed_prompt,
        "backbone": evaluation.backbone.label,
        "preprocessing": options.preprocess,
        "precision": options.precision,
        "device": evaluation.backbone.tower.device.type,
        "patch": f"{about.kind} for {about.method}" if about else None,
        "patch_sha256": about.fingerprint.get("fp32") if about else None,
        "strength": options.strength if about else None,
        "gallery": {part.name or "all": len(part.gallery) for part in benchmark.parts},
        "queries": {part.name or "all": len(part.queries) for part in benchmark.parts},
        "annotations_sha256": benchmark.annotations_sha256,
        **benchmark.settings,
        "versions": {name: version(name) for name in LIBRARIES},
        "python": platform.python_version(),
    }
