"""The report's sections of figures, curves and conditions, as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from rtd_adapters.evaluation.report.charts import bar_chart, line_chart
from rtd_adapters.evaluation.report.whiskers import whisker_chart
from rtd_adapters.evaluation.result import PER_CENT, Diagnosis, Result

DECIMALS = {PER_CENT: 2, "points": 2}
"""Of a diagnosis's figures; three where a unit is not here."""


def figures_section(result: Result) -> str:
    """Before, after, change, interval and p-value, a row for each metric; per cent."""
    head = "<tr><th>per cent</th><th>before</th>"
    if result.patched is not None:
        head += "<th>after</th><th>change</th><th>95 % interval</th>"
    if result.p_values:
        head += "<th>p</th>"
    rows = [f"{head}</tr>"]
    for name, old in result.base.items():
        row = f"<tr><td>{escape(name)}</td><td>{old:.1f}</td>"
        if result.patched is not None:
            change = result.patched[name] - old
            low, high = result.intervals[name]
            tone = "up" if low > 0 else "down" if high < 0 else ""
            row += (
                f'<td>{result.patched[name]:.1f}</td><td class="{tone}">{change:+.1f}</td>'
                f"<td>{low:+.1f} to {high:+.1f}</td>"
            )
        if name in result.p_values:
            row += f"<td>{result.p_values[name]:.4f}</td>"
        rows.append(f"{row}</tr>")
    return f"<h2>Figures</h2><table>{''.join(rows)}</table>{_columns(result)}"


def _columns(result: Result) -> str:
    """The same queries asked in other ways, and what those are; empty where there are none."""
    if not result.columns:
        return ""
    heads = "".join(f"<th>{escape(name)}</th>" for name in result.columns)
    rows = [f"<tr><th>per cent</th>{heads}</tr>"]
    for metric in result.base:
        cells = "".join(f"<td>{c.figures[metric]:.1f}</td>" for c in result.columns.values())
        rows.append(f"<tr><td>{escape(metric)}</td>{cells}</tr>")
    items = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(column.about)}</dd>"
        for name, column in result.columns.items()
    )
    return f"<h2>The same queries in other ways</h2><table>{''.join(rows)}</table><dl>{items}</dl>"


def curves_section(metrics: Sequence[Mapping[str, Any]]) -> str:
    """Training loss and validation recall over steps, from the lines of a metrics.jsonl."""
    losses = [(line["step"], line["loss"]) for line in metrics if "loss" in line]
    names = {n for line in metrics for n in line if "recall" in n}
    recalls = {n: [(m["step"], m[n]) for m in metrics if n in m] for n in sorted(names)}
    charts = [("Training loss", line_chart({"loss": losses}, "step", "loss") if losses else "")]
    charts.append(
        ("Validation, per cent", line_chart(recalls, "step", "per cent") if names else "")
    )
    drawn = [f"<figure><figcaption>{t}</figcaption>{svg}</figure>" for t, svg in charts if svg]
    return f'<h2>Training</h2><div class="charts">{"".join(drawn)}</div>' if drawn else ""


def diagnosis_section(diagnosis: Diagnosis) -> str:
    """A question's sentence, its charts, one for each unit, and numbers."""
    lines = line_chart(diagnosis.series, diagnosis.across, diagnosis.up)
    charts = {diagnosis.up: lines} if lines else _charts_by_unit(diagnosis)
    drawn = "".join(
        f"<figure><figcaption>{escape(unit)}</figcaption>{chart}</figure>"
        for unit, chart in charts.items()
    )
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{value:.{DECIMALS.get(unit, 3)}f}</td>"
        f"<td>{_ends(diagnosis, name, DECIMALS.get(unit, 3))}</td><td>{escape(unit)}</td></tr>"
        for unit, figures in diagnosis.by_unit().items()
        for name, value in figures.items()
    )
    return (
        f"<h2>{escape(diagnosis.name)}</h2><p>{escape(diagnosis.reading)}</p>"
        f'<div class="charts">{drawn}<table>{rows}</table></div>'
    )


def _charts_by_unit(diagnosis: Diagnosis) -> dict[str, str]:
    return {
        unit: whisker_chart(figures, diagnosis.intervals, unit)
        if figures.keys() <= diagnosis.intervals.keys()
        else bar_chart(figures)
        for unit, figures in diagnosis.by_unit().items()
    }


def _ends(diagnosis: Diagnosis, name: str, places: int) -> str:
    """A figure's interval, if it has one."""
    if name not in diagnosis.intervals:
        return ""
    low, high = diagnosis.intervals[name]
    return f"{low:.{places}f} to {high:.{places}f}"


def conditions_section(settings: Mapping[str, Any]) -> str:
    """Under what the figures were taken."""
    items = "".join(_setting(name, value) for name, value in settings.items())
    return f"<h2>Conditions</h2><dl>{items}</dl>"


def _setting(name: str, value: Any) -> str:
    shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
    return f"<dt>{escape(name)}</dt><dd>{escape(str(shown))}</dd>"
