"""A quality report for the terminal, as JSON, and as one HTML file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from html import escape
from statistics import mean, quantiles
from typing import Any

from rtd_adapters.triplets.checking.quality import Measures
from rtd_adapters.triplets.checking.sense import FAULTS
from rtd_adapters.triplets.checking.variety import commonest
from rtd_adapters.triplets.checking.verdict import Verdict
from rtd_adapters.triplets.records import Triplet

NO_TOWER = "no text tower (--backbone would look for a caption near each target)"
TOWER = "the backbone's text tower"
SHOWN = 25
"""Sample triplets in a report."""
TOP = 12
"""Bars of a chart of words."""
BINS = 30
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;
color:#1b1f24;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2.2rem}
table{border-collapse:collapse;width:100%}
td,th{padding:.35rem .6rem;border-bottom:1px solid #d8dee4;text-align:left;vertical-align:top}
td.n{text-align:right;font-variant-numeric:tabular-nums}
.word{padding:.1rem .6rem;border-radius:1rem;color:#fff}
.good{background:#1a7f37}.uniform{background:#0969da}.doubtful{background:#9a6700}.unfit{background:#cf222e}
.charts{display:flex;flex-wrap:wrap;gap:1.5rem}figure{margin:0}figcaption{font-size:.85rem}
svg rect{fill:#0969da}svg text{font-size:11px;fill:#57606a}
"""


def as_dict(measures: Measures, verdict: Verdict) -> dict[str, Any]:
    """Everything but the random sample, for --json."""
    return {
        "source": measures.source,
        "verdict": verdict.word,
        "reasons": [reason.text for reason in verdict.reasons],
        "rows": measures.rows,
        "triplets": measures.triplets,
        "flaws": dict(measures.flaws),
        "judged": measures.sense.judged,
        "judged_by": measures.sense.means,
        "faults": {name: measures.sense.share(name) for name in FAULTS},
        "sound_share": measures.sense.sound / max(1, measures.sense.judged),
        "worst": {
            name: [asdict(t) for t in worst] for name, worst in measures.sense.examples.items()
        },
        "messages": measures.messages,
        "context_length": measures.context_length,
        "truncated_texts": measures.truncated,
        "median_tokens": {name: _median(lengths) for name, lengths in measures.lengths.items()},
        "english_share": measures.english / max(1, measures.triplets),
        "distinct_words": len(measures.vocabulary),
        "edits": dict(measures.edits.most_common()),
        "conditioning_openings": dict(measures.openings.most_common(TOP)),
        "worded_as_no_other_share": measures.variety.alone,
        "words_per_conditioning": measures.variety.words,
        "commonest_wordings": dict(measures.variety.commonest),
        "far_share": measures.far,
        "mean_cosine": {name: mean(values) for name, values in measures.similarities.items()},
    }


def as_text(measures: Measures, verdict: Verdict) -> list[str]:
    """Verdict, reasons and figures, as lines for the terminal."""
    lines = [f"{measures.source}: {verdict.word}"]
    if measures.sense.judged:
        lines.append(f"  {_summary(measures)}")
    for reason in verdict.reasons:
        lines += [f"  - {reason.text}", *(f"      {_line(t)}" for t in reason.examples)]
    lines += [f"      {message}" for message in measures.messages]
    figures = _figures(measures)
    width = max(len(name) for name, _ in figures)
    return lines + [f"{name:<{width}}  {value}" for name, value in figures]


def as_html(measures: Measures, verdict: Verdict) -> str:
    """The same with histograms and samples: one file that needs nothing else."""
    reasons = "".join(f"<li>{escape(reason.text)}</li>" for reason in verdict.reasons)
    summary = f"<p>{escape(_summary(measures))}</p>" if measures.sense.judged else ""
    messages = "".join(f"<li><code>{escape(text)}</code></li>" for text in measures.messages)
    figures = "".join(
        f"<tr><td>{escape(name)}</td><td class=n>{escape(value)}</td></tr>"
        for name, value in _figures(measures)
    )
    charts = [_histogram(f"cosine, {n}", v, (-0.2, 1.0)) for n, v in measures.similarities.items()]
    charts += [
        _histogram(f"tokens, {name}", lengths.elements(), (0, measures.context_length + 8))
        for name, lengths in measures.lengths.items()
    ]
    charts += [
        _bars("change of the words", measures.edits),
        _bars("texts start", measures.openings),
    ]
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width">'
        f"<title>Triplets: {escape(measures.source)}</title><style>{STYLE}</style>"
        f"<h1>{escape(measures.source)} "
        f"<span class='word {verdict.word}'>{verdict.word}</span></h1>"
        f"{summary}"
        f"<ul>{reasons or '<li>Nothing speaks against training on it.</li>'}{messages}</ul>"
        f"<h2>Figures</h2><table>{figures}</table>"
        f"<h2>Distributions</h2><div class=charts>{''.join(charts)}</div>"
        f"{_worst(measures)}<h2>Drawn at random</h2>{_samples(measures.sample[:SHOWN])}</html>\n"
    )


def as_table(triplets: Sequence[Triplet], width: int) -> list[str]:
    """Lines of three columns that fill `width` characters, the triplets' texts broken to fit."""
    from textwrap import wrap

    column = max(12, (width - 4) // 3)
    rows = [("reference", "conditioning", "target"), ("-" * column,) * 3]
    rows += [(t.reference, t.conditioning, t.target) for t in triplets]
    lines = []
    for row in rows:
        cells = [wrap(text, column) or [""] for text in row]
        for place in range(max(map(len, cells))):
            parts = [cell[place] if place < len(cell) else "" for cell in cells]
            lines.append("  ".join(f"{part:<{column}}" for part in parts).rstrip())
    return lines


def _figures(measures: Measures) -> list[tuple[str, str]]:
    total = max(1, measures.triplets)
    rows = [("triplets", f"{measures.triplets:,} of {measures.rows:,} rows")]
    rows += [
        (name, f"{n:,} ({n / max(1, measures.rows):.2%})") for name, n in measures.flaws.items()
    ]
    sense = measures.sense
    if sense.judged:
        rows += [(f"{name}, of {sense.judged:,}", f"{sense.share(name):.1%}") for name in FAULTS]
        rows += [
            (f"none of these faults, of {sense.judged:,}", f"{sense.sound / sense.judged:.1%}")
        ]
        rows += [
            ("judged by", f"{sense.means}; {NO_TOWER if not measures.similarities else TOWER}")
        ]
    varied = measures.variety
    if varied.texts:
        rows += [
            (f"worded as no other, of {varied.texts:,}", f"{varied.alone:.1%}"),
            ("words of a conditioning text", f"mean {varied.words:.1f}"),
            ("commonest wordings", commonest(varied)),
        ]
    rows += [
        (f"tokens, {name}", f"median {_median(lengths)}, longest {max(lengths)}")
        for name, lengths in measures.lengths.items()
        if lengths
    ]
    rows += [
        (f"texts over {measures.context_length} tokens", f"{measures.truncated:,}"),
        ("like English", f"{measures.english / total:.1%}"),
        ("different words in captions", f"{len(measures.vocabulary):,}"),
    ]
    rows += [(f"change: {name}", f"{n / total:.1%}") for name, n in measures.edits.most_common()]
    rows += [(f"cosine, {name}", _spread(values)) for name, values in measures.similarities.items()]
    if measures.similarities:
        rows += [("targets far from every other caption", f"{measures.far:.1%}")]
    return rows


def _summary(measures: Measures) -> str:
    """What a person would say first."""
    judged, sound = measures.sense.judged, measures.sense.sound
    return (
        f"Of {judged:,} triplets drawn at random {sound / judged:.0%} have no sign against them: a "
        "likely picture in good English, one attribute changed, asked for as a person would."
    )


def _worst(measures: Measures) -> str:
    """The worst triplets of each fault."""
    return "".join(
        f"<h2>{escape(name)}: {measures.sense.share(name):.1%}</h2>{_samples(worst)}"
        for name, worst in measures.sense.examples.items()
    )


def _line(triplet: Triplet) -> str:
    return f"{triplet.reference} | {triplet.conditioning} | {triplet.target}"


def _spread(values: list[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.2f}"
    tenths = quantiles(values, n=10)
    return f"mean {mean(values):.2f}, 80 % within {tenths[0]:.2f} to {tenths[-1]:.2f}"


def _median(lengths: Counter[int]) -> int:
    half, seen = lengths.total() / 2, 0
    for length in sorted(lengths):
        seen += lengths[length]
        if seen >= half:
            return length
    return 0


def _histogram(title: str, values: Iterable[float], span: tuple[float, float]) -> str:
    low, high = span
    counts = [0] * BINS
    for value in values:
        place = int((value - low) / (high - low) * BINS)
        counts[min(BINS - 1, max(0, place))] += 1
    top = max(counts) or 1
    bars = "".join(
        f"<rect x={n * 10} y={100 - 100 * count / top:.1f} width=9 height={100 * count / top:.1f}>"
        f"<title>{count:,}</title></rect>"
        for n, count in enumerate(counts)
    )
    marks = f"<text x=0 y=114>{low:g}</text><text x=280 y=114>{high:g}</text>"
    return _figure(title, f"<svg width=300 height=118>{bars}{marks}</svg>")


def _bars(title: str, counts: Counter[str]) -> str:
    rows = counts.most_common(TOP)
    top = rows[0][1] if rows else 1
    bars = "".join(
        f"<text x=0 y={n * 18 + 12}>{escape(name[:18])}</text>"
        f"<rect x=120 y={n * 18 + 2} width={170 * count / top:.1f} height=13>"
        f"<title>{count:,}</title></rect>"
        for n, (name, count) in enumerate(rows)
    )
    return _figure(title, f"<svg width=300 height={18 * len(rows) + 4}>{bars}</svg>")


def _figure(title: str, drawing: str) -> str:
    return f"<figure>{drawing}<figcaption>{escape(title)}</figcaption></figure>"


def _samples(triplets: Iterable[Triplet]) -> str:
    rows = "".join(
        f"<tr><td>{escape(t.reference)}</td><td>{escape(t.conditioning)}</td>"
        f"<td>{escape(t.target)}</td></tr>"
        for t in triplets
    )
    return f"<table><tr><th>reference<th>conditioning<th>target</tr>{rows}</table>"
