"""What a sweep says: its numbers, a chart and a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rtd_adapters.evaluation.bootstrap import interval
from rtd_adapters.evaluation.diagnosis import TEXT_R1
from rtd_adapters.evaluation.measures import Measures, is_tie
from rtd_adapters.evaluation.result import Diagnosis, Series
from rtd_adapters.evaluation.scores import less
from rtd_adapters.jobs.sweep import NOISE, STRENGTH, TRIPLETS, SweepRow

KINDS = {NOISE: ("noise", "noise scale"), STRENGTH: ("strength", "strength")}
"""Sweeps over a number: how their values' names begin -> name of the sweep, and of its axis."""


def first_metric(row: SweepRow) -> str:
    """The metric by which values are compared."""
    return next(iter(row.before))


def reading(rows: Sequence[SweepRow]) -> Diagnosis:
    """A sweep's numbers, chart and sentence."""
    metric = first_metric(rows[0])
    measures = Measures()
    measures.figures = {"before": rows[0].before[metric]}
    measures.figures |= {row.name: row.after[metric] for row in rows}
    if rows[0].queries:
        measures.add("before", _queries(rows[0], "before"))
        for row in rows:
            measures.add(row.name, _queries(row, "after"))
    sentence = _sentence(rows, metric)
    for begins, (name, across) in KINDS.items():
        if rows[0].name.startswith(begins):
            curves = _curves(rows, begins, metric)
            return measures.diagnosis(name, sentence, curves, across, f"{metric}, per cent")
    name = "triplets" if rows[0].name.startswith(TRIPLETS) else "ablation"
    return measures.diagnosis(name, sentence)


def _curves(rows: Sequence[SweepRow], begins: str, metric: str) -> Series:
    shown = {"composed": metric, "text to image": TEXT_R1}
    return {
        label: sorted((float(row.name.removeprefix(begins)), row.after[name]) for row in rows)
        for label, name in shown.items()
        if name in rows[0].after
    }


def _sentence(rows: Sequence[SweepRow], metric: str) -> str:
    best = max(rows, key=lambda row: row.after[metric])
    worst = min(rows, key=lambda row: row.after[metric])
    found = (
        f"{best.name} finds most, {best.after[metric]:.1f} %, and {worst.name} least, "
        f"{worst.after[metric]:.1f} %; before it was {rows[0].before[metric]:.1f} %."
    )
    if not best.queries:
        return f"{found} One seed: differences of a point or two mean nothing."
    tied = [row.name for row in rows if row is not best and _is_tie(best, row)]
    return f"{found} A tie with {best.name}: {', '.join(tied) or 'none'}. One seed."


def _is_tie(one: SweepRow, other: SweepRow) -> bool:
    return is_tie(interval(less(_queries(one, "after"), _queries(other, "after"))))


def _queries(row: SweepRow, side: str) -> list[Tensor]:
    return [torch.tensor(values) for values in row.queries[side].values()]
