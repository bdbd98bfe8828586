"""A product's ways to search with a patch: each figure counted again, and the second way's gain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtd_adapters.cli.ways import ways_table
from rtd_adapters.errors import EvaluationError
from rtd_adapters.evaluation.report.page import write_ways
from rtd_adapters.evaluation.result import QueryRecord, Result
from rtd_adapters.evaluation.scores import figures, intervals, p_values, scores
from rtd_adapters.evaluation.ways import first_metric, three_ways

COUNT = 40
SETTINGS = {"patch_sha256": "f" * 64, "strength": 1.0, "backbone": "demo"}


def result(benchmark, reference, shares, parts=("",)):
    """One metric, right answers drawn: each column's share of them."""
    from rtd_adapters.evaluation.result import Column

    draw = np.random.default_rng(len(benchmark))
    names = [parts[n * len(parts) // COUNT] for n in range(COUNT)]
    hits = {name: (draw.random(COUNT) < share).tolist() for name, share in shares.items()}
    values = {name: {"r": [float(hit) for hit in own]} for name, own in hits.items()}
    found = {name: scores(own, names) for name, own in values.items()}
    base, patched = found["base"], found["patched"]
    others = {
        name: Column(name, figures(own), intervals(own, base), p_values(own, base))
        for name, own in found.items()
        if name not in ("base", "patched")
    }
    records = [
        QueryRecord(str(n), part, reference, "text", ["t"], "", 1, 1, [], [], 1)
        for n, part in enumerate(names)
    ]
    return Result(
        "m",
        benchmark,
        "val",
        figures(base),
        figures(patched),
        intervals(patched, base),
        records,
        dict(SETTINGS),
        p_values(patched, base),
        others,
        values,
    )


@pytest.fixture
def composed():
    shares = {"base": 0.2, "patched": 0.9, "strength 0.5": 0.6, "pdv": 0.1}
    return result("cir", "ref", shares, ("dress", "shirt"))


@pytest.fixture
def captions():
    return result("plain", "", {"base": 0.8, "patched": 0.3, "strength 0.5": 0.6})


def mean(result, column, metric):
    """Per cent, by numpy: of a part, or of all parts alike."""
    parts = {}
    for record, value in zip(result.queries, result.values[column]["r"], strict=True):
        parts.setdefault(record.part, []).append(value)
    name = metric.removesuffix(" r")
    means = {part: 100 * np.mean(values) for part, values in parts.items()}
    return means[name] if name in means else np.mean(list(means.values()))


def test_every_way_has_the_figures_of_its_two_encoders(composed, captions):
    ways = three_ways(composed, captions)
    assert [(way.queries_by, way.captions_by) for way in ways.ways] == [
        ("base", "base"),
        ("patched", "patched"),
        ("patched", "base"),
        ("strength 0.5", "strength 0.5"),
    ]
    rows = ways.records()
    assert len(rows) == 4 * (3 + 1)
    for row in rows:
        plain = row["asked"] == "captions"
        own, by = (captions, "captions_by") if plain else (composed, "queries_by")
        assert row["benchmark"] == own.benchmark
        before = mean(own, "base", row["metric"])
        assert row["figure"] == pytest.approx(mean(own, row[by], row["metric"]))
        assert row["change"] == pytest.approx(row["figure"] - before)
        assert row["low"] <= row["change"] <= row["high"]
        same = row[by] == "base"
        assert same == ((row["low"], row["high"], row["p_value"]) == (0, 0, 1))


def test_the_second_way_loses_nothing_of_text_to_image(composed, captions):
    _, everything, second, _ = three_ways(composed, captions).ways
    assert second.composed == everything.composed
    assert second.captions.figures == captions.base
    assert everything.captions.figures["r"] < captions.base["r"]


def test_the_table_shows_averages_first(composed, captions):
    assert (first_metric(composed), first_metric(captions)) == ("average r", "r")
    head, names, *rows = ways_table(three_ways(composed, captions))
    assert head.split("  ")[-1] == "plain, per cent"
    assert names.split("  ")[0] == "queries by"
    assert names.index("average r") <= head.index("plain") < names.index(" r ", head.index("plain"))
    assert len(rows) == 4
    _, patched, second, _ = rows
    gain = mean(composed, "patched", "average r") - composed.base["average r"]
    for row in (patched, second):
        assert f"{gain:+.2f}" in row
    assert f"{captions.patched['r'] - captions.base['r']:+.2f}" in patched
    assert second.split()[-4:] == ["+0.00", "+0.00", "to", "+0.00"]
    assert max(map(len, (head, names, *rows))) <= 110


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"patched": None}, "has no patched column"),
        ({"p_values": {}}, "has no patched column with p-values"),
        ({"settings": {**SETTINGS, "patch_sha256": "e" * 64}}, "not known to be of one encoder"),
        ({"settings": {**SETTINGS, "strength": 0.5}}, "strength is 1.0 and 0.5"),
        ({"settings": {}}, "patch_sha256 is f* and None"),
    ],
)
def test_results_that_do_not_go_together_are_refused(changed, words, composed, captions):
    with pytest.raises(EvaluationError, match=words):
        three_ways(composed, replace(captions, **changed))


def test_results_that_do_not_say_which_patch_they_are_of_are_refused(composed, captions):
    with pytest.raises(EvaluationError, match="patch_sha256 is None and None"):
        three_ways(*(replace(own, settings={}) for own in (composed, captions)))


def test_the_wrong_way_round_is_said(composed, captions):
    with pytest.raises(
        EvaluationError, match="cir is of composed queries, where one of plain capt"
    ):
        three_ways(composed, composed)
    with pytest.raises(
        EvaluationError, match="plain is of plain captions, where one of composed q"
    ):
        three_ways(captions, composed)


def test_the_page_has_every_metric(composed, captions, tmp_path):
    folders = tmp_path / "run", tmp_path / "run/captions"
    for own, folder in zip((composed, captions), folders, strict=True):
        own.save(folder / "result.json")
    write_ways(*folders, tmp_path / "ways.html")
    page = (tmp_path / "ways.html").read_text()
    assert (
        '<th colspan="3">composed queries, cir</th><th colspan="1">plain captions, plain</th>'
        in page
    )
    for metric in (*composed.base, *captions.base):
        assert f"<th>{metric}</th>" in page
    assert page.count("<small>+0.0 to +0.0</small>") == 4 + 1
    assert "@@" not in page
