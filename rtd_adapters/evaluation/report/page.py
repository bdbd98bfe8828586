"""An evaluation as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from rtd_adapters.errors import FileError, UsageError
from rtd_adapters.evaluation.comparison import contenders, differences, require_comparable
from rtd_adapters.evaluation.report.cards import queries_section
from rtd_adapters.evaluation.report.comparison import (
    contenders_section,
    differences_section,
    settings_sections,
)
from rtd_adapters.evaluation.report.sections import (
    conditions_section,
    curves_section,
    diagnosis_section,
    figures_section,
)
from rtd_adapters.evaluation.report.strips import Strip, choose
from rtd_adapters.evaluation.report.ways import ways_section
from rtd_adapters.evaluation.result import Diagnosis, Result
from rtd_adapters.evaluation.ways import three_ways
from rtd_adapters.io.atomic import whole_file
from rtd_adapters.io.entries import Entry
from rtd_adapters.io.json_files import parse_json

TEMPLATE = Path(__file__).with_name("page.html")


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
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
    return len(strips)


def write_comparison(folders: Sequence[Path], out: Path) -> None:
    """Write a page that compares what several `rtd eval --out` left.

    Args:
        folders: each holds a result.json; named on the page as they are here.
        out: the HTML file.

    Raises:
        UsageError: a folder is named twice.
        FileError: a folder holds no result, or the disk refuses.
        EvaluationError: the results are not of the same queries over the same galleries.
    """
    results = {str(folder): Result.load(folder / "result.json") for folder in folders}
    if len(results) < len(folders):
        raise UsageError("a run is named twice. Name each once.")
    require_comparable(results)
    found = contenders(results)
    one = next(iter(results.values()))
    about = {name: {"method": own.method, **own.settings} for name, own in results.items()}
    parts = {
        "TITLE": escape(f"{len(results)} results on {one.benchmark}"),
        "SUBTITLE": escape(f"{one.split} split, {len(one.queries):,} queries."),
        "FIGURES": contenders_section(found) + differences_section(differences(found)),
        "CURVES": "",
        "STRIPS": "",
        "SETTINGS": settings_sections(about),
    }
    with whole_file(out) as temporary:
        temporary.write_text(filled(parts), encoding="utf-8", errors="backslashreplace")


def write_ways(composed: Path, captions: Path, out: Path) -> None:
    """Write a page of a product's ways to search with a patch.

    Args:
        composed, captions: folders that `rtd eval --out` left, one of composed queries and one of
            plain captions.
        out: the HTML file.

    Raises:
        FileError: a folder holds no result, or the disk refuses.
        EvaluationError: they are not of those questions by the same encoders.
    """
    ways = three_ways(*(Result.load(folder / "result.json") for folder in (composed, captions)))
    of = {"composed queries": ways.composed, "plain captions": ways.captions}
    asked = (f"{len(one.queries):,} {what}" for what, one in of.items())
    parts = {
        "TITLE": escape(f"{ways.composed.method}: ways to search with a patch"),
        "SUBTITLE": escape(f"{' and '.join(asked)}."),
        "FIGURES": ways_section(ways),
        "CURVES": "",
        "STRIPS": "",
        "SETTINGS": settings_sections({what: one.settings for what, one in of.items()}),
    }
    with whole_file(out) as temporary:
        temporary.write_text(filled(parts), encoding="utf-8", errors="backslashreplace")


def write_diagnoses(
    diagnoses: Sequence[Diagnosis], title: str, out: Path, where: str = "the built-in world"
) -> None:
    """Write diagnoses as one HTML page: sentence, numbers, charts.

    Raises:
        FileError: the disk refuses.
    """
    parts = {
        "TITLE": escape(title),
        "SUBTITLE": escape(f"Diagnostics in {where}; recall in per cent."),
        "FIGURES": "".join(map(diagnosis_section, diagnoses)),
        "CURVES": "",
        "STRIPS": "",
        "SETTINGS": "",
    }
    with whole_file(out) as temporary:
        temporary.write_text(filled(parts), encoding="utf-8", errors="backslashreplace")


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The lines of a metrics.jsonl.

    Raises:
        FileError: it cannot be read, or a line is damaged; it is named.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}. Check the path.") from error
    return [_metrics(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]


def _metrics(line: bytes, place: str) -> dict[str, float]:
    read = Entry(place, parse_json(line, place), "Remove the line, or leave --training out.")
    return {"step": read.number("step"), **{name: read.number(name) for name in read}}


def _page(
    result: Result, strips: Sequence[Strip], folder: Path, metrics: Sequence[Mapping[str, float]]
) -> str:
    what = "before and after" if result.patched else "base encoder"
    patch = result.settings.get("patch") or "none"
    parts = {
        "TITLE": escape(f"{result.method} on {result.benchmark}, {what}"),
        "SUBTITLE": escape(
            f"{result.split} split, {len(result.queries):,} queries. Patch: {patch}."
        ),
        "FIGURES": figures_section(result),
        "CURVES": curves_section(metrics),
        "STRIPS": queries_section(strips, folder, result.patched is not None),
        "SETTINGS": conditions_section(result.settings),
    }
    return filled(parts)


def filled(parts: Mapping[str, str], template: Path = TEMPLATE) -> str:
    """The page, as HTML.

    Args:
        parts: what stands between the signs @@ in the template, each HTML or nothing: here TITLE,
            SUBTITLE, FIGURES, CURVES, STRIPS and SETTINGS.
        template: the page without them.
    """
    page = template.read_text(encoding="utf-8")
    head, *rest = page.split("@@")
    # Split once: what is filled in may itself contain the signs.
    return head + "".join(
        parts[part] if number % 2 == 0 else part for number, part in enumerate(rest)
    )
