"""Findings as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from rtd_adapters.evaluation.report.page import filled
from rtd_adapters.io.atomic import whole_file
from rtd_adapters.jobs.reproduce.figures import CELL, Finding, Findings, Spread
from rtd_adapters.jobs.reproduce.plan import Skipped
from rtd_adapters.jobs.reproduce.tables import Table, plain, tables


def write_page(findings: Findings, out: Path) -> None:
    """Write the page: tables over the seeds, what was skipped, every result with its conditions.

    Raises:
        FileError: the disk refuses.
    """
    found = len(findings.found)
    parts = {
        "TITLE": escape(findings.config.title),
        "SUBTITLE": f"{found} results, {len(findings.skipped)} skipped. Per cent; over several "
        "seeds the mean, and below it the lowest and the highest.",
        "FIGURES": "".join(map(_table, tables(findings))),
        "CURVES": "",
        "STRIPS": _skipped(findings.skipped),
        "SETTINGS": _results(findings.found),
    }
    with whole_file(out) as temporary:
        temporary.write_text(filled(parts), encoding="utf-8", errors="backslashreplace")


def _table(table: Table) -> str:
    head = "".join(f'<th class="name">{name}</th>' for name in CELL)
    head += "".join(f"<th>{escape(metric)}</th>" for metric in table.metrics)
    rows = "".join(_row(names, spreads) for names, spreads in table.rows)
    title = escape(f"{table.experiment}, {table.benchmark}")
    return f'<h2>{title}</h2><div class="wide"><table><tr>{head}</tr>{rows}</table></div>'


def _row(names: Sequence[str], spreads: Iterable[Spread]) -> str:
    *parts, training = names
    cells = [f'<td class="name">{escape(name)}</td>' for name in (*parts, training or "base")]
    cells += [f"<td>{_figure(spread)}</td>" for spread in spreads]
    return f"<tr{'' if training else ' class=base'}>{''.join(cells)}</tr>"


def _figure(spread: Spread) -> str:
    if spread.least == spread.most:
        return f"{spread.mean:.2f}"
    return f"{spread.mean:.2f}<br><small>{spread.least:.2f} to {spread.most:.2f}</small>"


def _skipped(skipped: Sequence[Skipped]) -> str:
    if not skipped:
        return ""
    rows = "".join(
        f"<tr>{''.join(f'<td class=name>{escape(text)}</td>' for text in (s.experiment, s.what))}"
        f'<td class="name" style="white-space:normal">{escape(s.why)}</td></tr>'
        for s in skipped
    )
    heads = "".join(f'<th class="name">{name}</th>' for name in ("experiment", "what", "why"))
    return f'<h2>Skipped</h2><div class="wide"><table><tr>{heads}</tr>{rows}</table></div>'


def _results(found: Sequence[Finding]) -> str:
    return f"<h2>Every result</h2>{''.join(map(_result, found))}" if found else ""


def _result(finding: Finding) -> str:
    title = f"{finding.experiment}: {', '.join(finding.cell)}, seed {finding.seed}, "
    heads = ("metric", "base", "patched", "change", "95 % interval")
    head = "".join(f"<th>{name}</th>" for name in heads)
    rows = "".join(map(_metric, finding.figures()))
    conditions = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(str(plain(value)))}</dd>"
        for name, value in finding.conditions().items()
    )
    return (
        f"<details><summary>{escape(title + finding.benchmark)}</summary>"
        f'<div class="wide"><table><tr>{head}</tr>{rows}</table></div>'
        f"<dl>{conditions}</dl></details>"
    )


def _metric(row: dict[str, Any]) -> str:
    low, high = row["low"], row["high"]
    tone = "up" if low > 0 else "down" if high < 0 else ""
    return (
        f'<tr><td class="name">{escape(row["metric"])}</td><td>{row["base"]:.2f}</td>'
        f'<td>{row["patched"]:.2f}</td><td class="{tone}">{row["change"]:+.2f}</td>'
        f"<td>{low:+.2f} to {high:+.2f}</td></tr>"
    )
