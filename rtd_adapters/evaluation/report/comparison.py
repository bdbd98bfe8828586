"""The sections of a page that compares results, as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from rtd_adapters.evaluation.comparison import SIGNIFICANT, Contender, Difference
from rtd_adapters.evaluation.report.sections import conditions_section
from rtd_adapters.evaluation.scores import intervals

Settings = Mapping[str, Any]


def contenders_section(found: Sequence[Contender]) -> str:
    """Every contender's figures, with intervals where values were kept; per cent."""
    heads = "".join(f"<th>{escape(one.name)}</th>" for one in found)
    ends = [intervals(one.scores) for one in found]
    rows = [f"<tr><th>per cent</th>{heads}</tr>"]
    for metric in found[0].figures:
        cells = "".join(
            f"<td>{one.figures[metric]:.1f}{_range(own, metric)}</td>"
            for one, own in zip(found, ends, strict=True)
        )
        rows.append(f"<tr><td>{escape(metric)}</td>{cells}</tr>")
    lost = [one.name for one in found if not one.scores]
    note = (
        f"<p>No intervals and no pairs for {escape(', '.join(lost))}: files of an earlier version "
        "keep no values of queries. Evaluate again.</p>"
        if lost
        else ""
    )
    return f"<h2>Figures</h2><table>{''.join(rows)}</table>{note}"


def differences_section(found: Sequence[Difference]) -> str:
    """Every pair in every metric, what differs in colour; empty without pairs."""
    if not found:
        return ""
    heads = ("", "first", "second", "change", "95 % interval", "p", "p of all pairs", "")
    rows = ["".join(f"<th>{head}</th>" for head in heads), *map(_difference, found)]
    several = sum(one.is_significant for one in found)
    return (
        f"<h2>Which differ</h2><p>{several} of {len(found)} do: their p-value, adjusted for all "
        f"pairs in a metric (Holm), is below {SIGNIFICANT:g}. All others are ties as far as these "
        "queries say. Changes are second minus first, in points.</p>"
        f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
    )


def settings_sections(settings: Mapping[str, Settings]) -> str:
    """Conditions that differ, a column for each result, and those of all."""
    names = dict.fromkeys(name for own in settings.values() for name in own)
    shared, apart = {}, []
    for name in names:
        values = [own.get(name) for own in settings.values()]
        if all(value == values[0] for value in values):
            shared[name] = values[0]
        else:
            cells = "".join(f"<td>{escape(str(value))}</td>" for value in values)
            apart.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
    heads = "".join(f"<th>{escape(name)}</th>" for name in settings)
    rows = f"<tr><th></th>{heads}</tr>{''.join(apart)}"
    table = f'<div class="wide"><table>{rows}</table></div>'
    differing = f"<h2>Conditions that differ</h2>{table}" if apart else ""
    return differing + conditions_section(shared)


def _range(ends: Mapping[str, tuple[float, float]], metric: str) -> str:
    if metric not in ends:
        return ""
    low, high = ends[metric]
    return f"<br><small>{low:.1f} to {high:.1f}</small>"


def _difference(one: Difference) -> str:
    low, high = one.interval
    tone = "" if not one.is_significant else "up" if one.change > 0 else "down"
    verdict = "differ" if one.is_significant else "tie"
    return (
        f"<td>{escape(one.metric)}</td><td>{escape(one.first)}</td><td>{escape(one.second)}</td>"
        f'<td class="{tone}">{one.change:+.1f}</td><td>{low:+.1f} to {high:+.1f}</td>'
        f"<td>{one.p_value:.4f}</td><td>{one.adjusted:.4f}</td><td>{verdict}</td>"
    )
