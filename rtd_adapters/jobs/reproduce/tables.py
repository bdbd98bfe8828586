"""Findings as JSON, as CSV and as LaTeX."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtd_adapters.io.atomic import whole_file
from rtd_adapters.jobs.reproduce.figures import CELL, SHOWN, Findings, Spread, Summary

FIGURES = ("metric", "base", "patched", "change", "low", "high")
COLUMNS = ("experiment", *CELL, "seed", "benchmark", "split", *FIGURES, *SHOWN)
"""Of the CSV."""
SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "$&%#_"},
}
"""What means something to LaTeX."""


@dataclass(frozen=True)
class Table:
    """An experiment on one benchmark: a line for each encoder, a column for each metric."""

    experiment: str
    benchmark: str
    metrics: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], tuple[Spread, ...]], ...]
    """Method, backbone, triplets and training, the last two empty for a base encoder; and its
    figures."""


def tables(findings: Findings) -> list[Table]:
    """Findings as people read them: every base encoder once, its patches below it."""
    groups: dict[tuple[str, str], list[Summary]] = {}
    for summary in findings.summaries():
        groups.setdefault((summary.experiment, summary.benchmark), []).append(summary)
    return [_table(*names, summaries) for names, summaries in groups.items()]


def write_tables(findings: Findings, folder: Path) -> None:
    """Write results.json, results.csv and results.tex, each whole or not at all.

    Raises:
        FileError: the disk refuses.
    """
    texts = {
        "results.json": json.dumps(findings.to_dict(), indent=1) + "\n",
        "results.csv": as_csv(findings),
        "results.tex": as_latex(findings),
    }
    for name, text in texts.items():
        with whole_file(folder / name) as temporary:
            temporary.write_bytes(text.encode("utf-8", "backslashreplace"))


def as_csv(findings: Findings) -> str:
    """A line for each metric of each result, with all that it depends on."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for finding in findings.found:
        place = {"benchmark": finding.benchmark, "split": finding.result.split}
        shared = finding.names() | place | {n: plain(v) for n, v in finding.conditions().items()}
        writer.writerows(shared | row for row in finding.figures())
    return text.getvalue()


def as_latex(findings: Findings) -> str:
    r"""A booktabs tabular for each experiment and benchmark; it needs \usepackage{booktabs}."""
    head = (
        f"% {_escaped(findings.config.title)}\n"
        "% Per cent. Over several seeds: the mean, and in brackets the lowest and the highest.\n"
    )
    return head + "\n".join(map(_tabular, tables(findings)))


def plain(value: Any) -> Any:
    """A condition in a cell: what has parts is written as name and value."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {part}" for name, part in value.items())
    return value


def shown(spread: Spread) -> str:
    """A figure as it is printed."""
    if spread.least == spread.most:
        return f"{spread.mean:.2f}"
    return f"{spread.mean:.2f} [{spread.least:.2f}, {spread.most:.2f}]"


def _table(experiment: str, benchmark: str, summaries: Sequence[Summary]) -> Table:
    metrics = tuple(dict.fromkeys(summary.metric for summary in summaries))
    rows: dict[tuple[str, ...], dict[str, Spread]] = {}
    for summary in summaries:
        method, backbone, *_ = summary.cell
        rows.setdefault((method, backbone, "", ""), {})[summary.metric] = summary.base
    for summary in summaries:
        rows.setdefault(summary.cell, {})[summary.metric] = summary.patched
    base_first = sorted(rows, key=lambda names: _place(names, tuple(rows)))
    return Table(
        experiment,
        benchmark,
        metrics,
        tuple((names, tuple(rows[names][metric] for metric in metrics)) for names in base_first),
    )


def _place(names: tuple[str, ...], order: Sequence[tuple[str, ...]]) -> tuple[int, int]:
    """Beside its base encoder, then as in the file."""
    return order.index((*names[:2], "", "")), order.index(names)


def _tabular(table: Table) -> str:
    head = [*CELL, *table.metrics]
    return "\n".join(
        [
            f"% {_escaped(table.experiment)}, {_escaped(table.benchmark)}",
            rf"\begin{{tabular}}{{{'l' * len(CELL)}{'r' * len(table.metrics)}}}",
            r"\toprule",
            _line(head),
            r"\midrule",
            *_lines(table),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _lines(table: Table) -> Iterator[str]:
    for names, spreads in table.rows:
        yield _line([*names[:3], names[3] or "base", *map(shown, spreads)])


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(_escaped, cells)) + r" \\"


def _escaped(text: str) -> str:
    """A text as LaTeX prints it, in one line."""
    return "".join(SPECIAL.get(sign, sign) for sign in " ".join(text.split()))
