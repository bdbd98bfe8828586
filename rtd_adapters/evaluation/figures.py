"""From outcomes to a result: scores, averages, intervals, records and the conditions."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from rtd_adapters.evaluation.benchmark import Benchmark, EvalQuery, Part
from rtd_adapters.evaluation.bootstrap import interval
from rtd_adapters.evaluation.inputs import Evaluation
from rtd_adapters.evaluation.result import Outcome, QueryRecord, Result
from rtd_adapters.patch import TextEncoderPatch

SHOWN = 10
"""Places of a ranking that a record keeps."""
LIBRARIES = ("rtd-adapters", "torch", "open_clip_torch", "transformers", "pillow")


def make_result(
    evaluation: Evaluation,
    base: list[list[Outcome]],
    patched: list[list[Outcome]] | None,
    patch: TextEncoderPatch | None,
) -> Result:
    """Figures in per cent, every query's record, and the conditions.

    Args:
        evaluation: what was searched.
        base, patched: outcomes of the two searches, part by part; `patched` is None without one.
        patch: what the second search was made with.
    """
    benchmark = evaluation.benchmark
    before = _scores(benchmark, base)
    after = _scores(benchmark, patched) if patched else None
    intervals = {}
    if after:
        for name, parts in before.items():
            pairs = zip(after[name], parts, strict=True)
            low, high = interval([new - old for new, old in pairs])
            intervals[name] = (100 * low, 100 * high)
    return Result(
        evaluation.method.name,
        benchmark.name,
        benchmark.split,
        _figures(before),
        _figures(after) if after else None,
        intervals,
        _queries(benchmark, base, patched),
        _settings(evaluation, patch),
    )


def _scores(benchmark: Benchmark, outcomes: list[list[Outcome]]) -> dict[str, list[Tensor]]:
    """Metric -> for each part, [queries] values; several parts have their own metrics besides."""
    if benchmark.hidden:
        return {}
    parts: list[dict[str, Tensor]] = []
    for part_outcomes in outcomes:
        values = [outcome.values for outcome in part_outcomes]
        parts.append({name: torch.tensor([v[name] for v in values]) for name in values[0]})
    whole = {name: [part[name] for part in parts] for name in parts[0]}
    if len(parts) == 1:
        return whole
    own = {
        f"{part.name} {name}": [values]
        for part, scores in zip(benchmark.parts, parts, strict=True)
        for name, values in scores.items()
    }
    return {**own, **{f"average {name}": values for name, values in whole.items()}}


def _figures(scores: Mapping[str, Sequence[Tensor]]) -> dict[str, float]:
    return {
        name: 100 * sum(part.double().mean().item() for part in parts) / len(parts)
        for name, parts in scores.items()
    }


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
    return QueryRecord(
        query.id,
        part.name,
        query.reference,
        query.texts[0],
        list(query.targets),
        query.category,
        old.rank,
        new.rank,
        old.top[:SHOWN],
        new.top[:SHOWN],
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
        **benchmark.settings,
        "versions": {name: version(name) for name in LIBRARIES},
        "python": platform.python_version(),
    }
