"""An evaluation as one HTML file that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from rtd_adapters.errors import FileError
from rtd_adapters.evaluation.report.charts import bar_chart, line_chart
from rtd_adapters.evaluation.report.strips import SHOWN, Strip, choose, picture_uri
from rtd_adapters.evaluation.result import Diagnosis, QueryRecord, Result
from rtd_adapters.io.atomic import whole_file

TEMPLATE = Path(__file__).with_name("page.html")
GROUPS = {"": "All", "gain": "Best gains", "loss": "Worst losses", "random": "Random others"}


def write_report(folder: Path, out: Path, training: Path | None = None) -> int:
    """Write a report of what `rtd eval --out` left; returns how many queries it shows.

    Args:
        folder: holds result.json and the small pictures.
        out: the HTML file.
        training: a metrics.jsonl of `rtd patch`, for the curves; by default the folder's own.

    Raises:
        FileError: the folder holds no result, or the disk refuses.
    """
    result = Result.load(folder / "result.json")
    strips = choose(result)
    curves = training or folder / "metrics.jsonl"
    page = _page(result, strips, folder, read_metrics(curves) if curves.is_file() else [])
    with whole_file(out) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return len(strips)


def write_diagnoses(found: Sequence[Diagnosis], title: str, out: Path) -> None:
    """Write diagnoses as one HTML page: sentence, numbers, chart.

    Raises:
        FileError: the disk refuses.
    """
    parts = {
        "TITLE": escape(title),
        "SUBTITLE": "Diagnostics in the built-in world; recall in per cent.",
        "FIGURES": "".join(map(_diagnosis, found)),
        "CURVES": "",
        "STRIPS": "",
        "SETTINGS": "",
    }
    with whole_file(out) as temporary:
        temporary.write_text(_filled(parts), encoding="utf-8")


def _diagnosis(one: Diagnosis) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{value:.2f}</td></tr>"
        for name, value in one.figures.items()
    )
    chart = line_chart(one.series, one.across, one.up) or bar_chart(one.figures)
    return (
        f"<h2>{escape(one.name)}</h2><p>{escape(one.reading)}</p>"
        f'<div class="charts"><figure>{chart}</figure><table>{rows}</table></div>'
    )


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl.

    Raises:
        FileError: a line is damaged; it is named.
    """
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            found.append(json.loads(line))
        except ValueError as error:
            raise FileError(f"{path}, line {number} is no JSON ({error}).") from error
    return found


def _page(
    result: Result, strips: Sequence[Strip], folder: Path, metrics: Sequence[Mapping[str, Any]]
) -> str:
    what = "before and after" if result.patched else "base encoder"
    patch = result.settings.get("patch") or "none"
    parts = {
        "TITLE": escape(f"{result.method} on {result.benchmark}, {what}"),
        "SUBTITLE": escape(
            f"{result.split} split, {len(result.queries):,} queries. Patch: {patch or 'none'}."
        ),
        "FIGURES": _figures(result),
        "CURVES": _curves(metrics),
        "STRIPS": _strips(strips, folder, result.patched is not None),
        "SETTINGS": _settings(result.settings),
    }
    return _filled(parts)


def _filled(parts: Mapping[str, str]) -> str:
    page = TEMPLATE.read_text(encoding="utf-8")
    head, *rest = page.split("@@")
    # Split once: what is filled in may itself contain the signs.
    return head + "".join(
        parts[part] if number % 2 == 0 else part for number, part in enumerate(rest)
    )


def _figures(result: Result) -> str:
    head = "<tr><th>per cent</th><th>before</th>"
    if result.patched is not None:
        head += "<th>after</th><th>change</th><th>95 % interval</th>"
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
        rows.append(f"{row}</tr>")
    return f"<h2>Figures</h2><table>{''.join(rows)}</table>"


def _curves(metrics: Sequence[Mapping[str, Any]]) -> str:
    losses = [(line["step"], line["loss"]) for line in metrics if "loss" in line]
    names = {n for line in metrics for n in line if "recall" in n}
    recalls = {n: [(m["step"], m[n]) for m in metrics if n in m] for n in sorted(names)}
    charts = [("Training loss", line_chart({"loss": losses}, "step", "loss") if losses else "")]
    charts.append(
        ("Validation, per cent", line_chart(recalls, "step", "per cent") if names else "")
    )
    drawn = [f"<figure><figcaption>{t}</figcaption>{svg}</figure>" for t, svg in charts if svg]
    return f'<h2>Training</h2><div class="charts">{"".join(drawn)}</div>' if drawn else ""


def _strips(strips: Sequence[Strip], folder: Path, patched: bool) -> str:
    if not strips:
        return ""
    present = {strip.group for strip in strips}
    buttons = "".join(
        f'<button type="button" data-group="{group}" aria-pressed="{str(not group).lower()}">'
        f"{title}</button>"
        for group, title in GROUPS.items()
        if not group or group in present
    )
    kinds = sorted({strip.query.category for strip in strips} - {""})
    options = "".join(f'<option value="{escape(kind)}">{escape(kind)}</option>' for kind in kinds)
    select = (
        f'<label>Kind <select id="category"><option value="">all</option>{options}</select></label>'
        if kinds
        else ""
    )
    cards = "".join(_card(strip, folder, patched) for strip in strips)
    return (
        "<h2>Queries</h2>"
        "<p>The right answer is framed. j and k go through them.</p>"
        f'<div class="bar">{buttons}{select}<output id="count"></output></div>{cards}'
    )


def _card(strip: Strip, folder: Path, patched: bool) -> str:
    query = strip.query
    ranks = f"rank {query.base_rank or '?'}"
    if patched:
        ranks += f" to {query.patched_rank or '?'}"
    rows = _row("before", query.base_top, query, folder)
    if patched:
        rows += _row("after", query.patched_top, query, folder)
    reference = _picture(folder, query.reference, "reference picture", right=False)
    kind = escape(query.category)
    return (
        f'<article tabindex="0" data-group="{strip.group}" data-category="{kind}">'
        f"<h3>{escape(query.text)}<span>{ranks}</span><span>{kind}</span></h3>"
        f'<div class="ask">{reference}<small>reference</small></div>'
        f'<div class="rows">{rows}</div></article>'
    )


def _row(title: str, ids: Sequence[str], query: QueryRecord, folder: Path) -> str:
    pictures = "".join(
        _picture(folder, image, f"{title}, place {place}", right=image in query.targets)
        for place, image in enumerate(ids[:SHOWN], start=1)
    )
    return f'<div class="row"><small>{title}</small>{pictures}</div>'


def _picture(folder: Path, identity: str, what: str, *, right: bool) -> str:
    uri = picture_uri(folder, identity)
    mark = " target" if right else ""
    label = escape(f"{what}: {identity}{', the right answer' if right else ''}")
    if uri is None:
        return f'<div class="none{mark}" title="{label}">{escape(identity)}</div>'
    return f'<img class="{mark.strip()}" src="{uri}" alt="{label}" title="{label}">'


def _settings(settings: Mapping[str, Any]) -> str:
    items = "".join(_setting(name, value) for name, value in settings.items())
    return f"<h2>Conditions</h2><dl>{items}</dl>"


def _setting(name: str, value: Any) -> str:
    shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
    return f"<dt>{escape(name)}</dt><dd>{escape(str(shown))}</dd>"
