"""Charts and tables of the report: marks where hand computation puts them, texts escaped."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from rtd_adapters.evaluation.report.charts import bar_chart, line_chart
from rtd_adapters.evaluation.report.sections import (
    conditions_section,
    curves_section,
    diagnosis_section,
    figures_section,
)
from rtd_adapters.evaluation.result import Column, Diagnosis, Result


def numbers(pattern, svg):
    return [tuple(map(float, found)) for found in re.findall(pattern, svg)]


def test_a_line_lies_where_its_figures_put_it():
    """The picture is 460 x 240; what is drawn lies from x 52 to 348 and from y 14 to 200."""
    svg = line_chart({"one": [(2, 10), (4, 30), (6, 20)]}, "a < b", "up")
    assert svg.startswith('<svg viewBox="0 0 460 240"')
    assert 'points="52.0,200.0 200.0,14.0 348.0,107.0"' in svg
    dots = numbers(r'<circle class="s0" cx="([\d.]+)" cy="([\d.]+)" r="2.5"/>', svg)
    assert dots == [(52, 200), (200, 14), (348, 107)]
    grid = numbers(r'class="grid" x1="(\d+)" x2="(\d+)" y1="([\d.]+)" y2="([\d.]+)"', svg)
    assert grid == [(52, 348, y, y) for y in (200, 107, 14)]
    left = re.findall(r'<text x="46" y="([\d.]+)" text-anchor="end">(\d+)<', svg)
    assert left == [("204.0", "10"), ("111.0", "20"), ("18.0", "30")]
    below = re.findall(r'<text x="([\d.]+)" y="218" text-anchor="middle">(\d)<', svg)
    assert below == [("52.0", "2"), ("348.0", "6")]
    assert '<text x="200.0" y="234" text-anchor="middle">a &lt; b</text>' in svg
    assert '<text class="s0" x="354.0" y="111.0">one</text>' in svg


def test_names_of_lines_that_end_together_stand_below_one_another():
    svg = line_chart({str(n): [(0, 0), (1, 5)] for n in range(5)}, "", "")
    places = re.findall(r'<text class="s(\d)" x="354.0" y="([\d.]+)">(\d)<', svg)
    assert [float(y) for _, y, _ in places] == [18, 30, 42, 54, 66]
    assert [color for color, *_ in places] == ["0", "1", "2", "3", "0"]


def test_a_line_its_dots_and_its_name_have_one_of_four_colours():
    svg = ElementTree.fromstring(line_chart({n: [(0, 0), (1, 5)] for n in "abcde"}, "", ""))
    order = ["s0", "s1", "s2", "s3", "s0"]
    assert [line.get("class") for line in svg.iter("polyline")] == [f"line {s}" for s in order]
    assert [dot.get("class") for dot in svg.iter("circle")] == [s for s in order for _ in "ab"]
    assert [name.get("class") for name in svg.iter("text") if name.text in set("abcde")] == order


@pytest.mark.parametrize(("count", "dotted"), [(29, True), (30, False)])
def test_long_lines_have_no_dots(count, dotted):
    assert ("<circle" in line_chart({"a": [(n, n) for n in range(count)]}, "", "")) is dotted


def test_a_single_value_is_drawn_in_the_middle():
    assert 'points="200.0,107.0"' in line_chart({"a": [(3, 7)]}, "", "")
    assert line_chart({}, "", "") == line_chart({"a": []}, "", "") == ""


def test_bars_are_as_long_as_their_figures():
    svg = bar_chart({"a": 1.0, "<b>": -4.0})
    assert 'viewBox="0 0 460 44"' in svg
    bars = numbers(r'<rect x="(\d+)" y="(\d+)" width="([\d.]+)" height="(\d+)" rx="2"/>', svg)
    assert bars == [(218, 6, 45, 12), (218, 24, 180, 12)]
    assert re.findall(r'<text x="212" y="(\d+)" text-anchor="end">(.+?)</text>', svg) == [
        ("16", "a"),
        ("34", "&lt;b&gt;"),
    ]
    assert re.findall(r'<text x="([\d.]+)" y="(\d+)">(.+?)</text>', svg) == [
        ("267.0", "16", "1.00"),
        ("402.0", "34", "-4.00"),
    ]
    assert 'width="0.0"' in bar_chart({"none": 0.0})
    assert 'viewBox="0 0 460 8"' in bar_chart({})
    assert re.findall(
        r'width="([\d.]+)" height="12"', bar_chart({"a": 0.5, "b": 0.2, "c": 0.0})
    ) == [
        "180.0",
        "72.0",
        "0.0",
    ]


def cells(html):
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in html.split("<tr>")[2:]]


def test_the_table_says_what_is_sure():
    base = {"a": 10.04, "b": 5.0, "c": 7.0}
    patched = {"a": 12.5, "b": 4.0, "c": 7.0}
    intervals = {"a": (0.5, 3.0), "b": (-2.0, -0.1), "c": (0.0, 0.0)}
    html = figures_section(Result("m", "b", "val", base, patched, intervals))
    assert cells(html) == [
        ["a", "10.0", "12.5", "+2.5", "+0.5 to +3.0"],
        ["b", "5.0", "4.0", "-1.0", "-2.0 to -0.1"],
        ["c", "7.0", "7.0", "+0.0", "+0.0 to +0.0"],
    ]
    assert re.findall(r'<td class="(\w*)">', html) == ["up", "down", ""]
    alone = figures_section(Result("m", "b", "val", base))
    assert cells(alone) == [["a", "10.0"], ["b", "5.0"], ["c", "7.0"]]
    assert "after" not in alone
    assert "95 % interval" in html


def test_curves_are_drawn_of_what_there_is():
    lines = [
        {"step": 1, "loss": 2.0},
        {"step": 2, "loss": 1.0, "recall@1": 50.0, "recall@5": 60.0},
        {"step": 3, "loss": 1.5},
        {"step": 4, "recall@1": 55.0},
    ]
    html = curves_section(lines)
    assert html.count("<figure>") == 2
    assert "Training loss" in html
    assert 'points="52.0,14.0 200.0,200.0 348.0,107.0"' in html
    assert html.index("recall@1") < html.index("recall@5")
    assert "Validation" not in curves_section(lines[:1])
    assert "Training loss" not in curves_section([{"step": 1, "recall@1": 1.0}])
    assert curves_section([]) == curves_section([{"step": 1}]) == ""


def test_a_diagnosis_without_a_series_has_bars():
    plain = Diagnosis("gap", {"x": 1.256}, "it <is>", {})
    html = diagnosis_section(plain)
    assert "<h2>gap</h2><p>it &lt;is&gt;</p>" in html
    assert '<rect x="218"' in html
    assert "<td>x</td><td>1.26</td>" in html
    drawn = diagnosis_section(Diagnosis("gap", {"x": 1.0}, "", {"a": [(0, 0), (1, 1)]}))
    assert "<rect" not in drawn
    assert "<polyline" in drawn


def test_conditions_are_listed():
    html = conditions_section({"prompt": "<$>", "gallery": {"a": 1, "b": 2}, "patch": None})
    assert html == (
        "<h2>Conditions</h2><dl><dt>prompt</dt><dd>&lt;$&gt;</dd>"
        "<dt>gallery</dt><dd>a 1, b 2</dd><dt>patch</dt><dd>None</dd></dl>"
    )


def test_p_values_and_further_columns_stand_where_there_are_some():
    about = Column("the <text> alone; alpha 2", {"x": 12.34}, {"x": (0.0, 1.0)}, {"x": 0.5})
    base, patched, ends = {"x": 30.0}, {"x": 20.0}, {"x": (-12.0, -8.0)}
    html = figures_section(
        Result("m", "b", "val", base, patched, ends, [], {}, {"x": 0.0123}, {"te<xt": about})
    )
    assert "<th>p</th></tr>" in html
    assert "<td>-12.0 to -8.0</td><td>0.0123</td></tr>" in html
    assert "<th>te&lt;xt</th></tr><tr><td>x</td><td>12.3</td></tr>" in html
    assert "<dt>te&lt;xt</dt><dd>the &lt;text&gt; alone; alpha 2</dd>" in html
    plain = figures_section(Result("m", "b", "val", base, patched, ends))
    assert "<th>p</th>" not in plain
    assert "other ways" not in plain
