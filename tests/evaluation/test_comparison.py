"""Results beside each other: who differs, who may not be compared, and the page that says so."""

from __future__ import annotations

import re
from dataclasses import asdict, replace

import numpy as np
import pytest

from rtd_adapters.errors import EvaluationError, UsageError
from rtd_adapters.evaluation.comparison import (
    Difference,
    contenders,
    differences,
    holm,
    require_comparable,
)
from rtd_adapters.evaluation.report.page import write_comparison
from rtd_adapters.evaluation.result import Column, QueryRecord, Result

PARTS = ["dress"] * 30 + ["shirt"] * 10


def values(share, seed):
    return (np.random.default_rng(seed).random(len(PARTS)) < share).astype(float).tolist()


def figures(column):
    """In per cent, part by part and averaged over parts, by hand."""
    dress, shirt = 100 * np.mean(column[:30]), 100 * np.mean(column[30:])
    return {"dress r": dress, "shirt r": shirt, "average r": (dress + shirt) / 2}


def result(base, patched, **columns):
    """A result of one metric, from every query's values."""
    queries = [
        QueryRecord(str(n), part, "ref", "text", ["t"], "", 1, 1, [], [], 1)
        for n, part in enumerate(PARTS)
    ]
    nothing = dict.fromkeys(figures(base), (0.0, 0.0))
    further = {
        name: Column("as told", figures(column), nothing, dict.fromkeys(nothing, 1.0))
        for name, column in columns.items()
    }
    found = {"base": base, "patched": patched, **columns}
    return Result(
        "m",
        "bench",
        "val",
        figures(base),
        figures(patched),
        nothing,
        queries,
        {"gallery": {"dress": 5, "shirt": 6}, "prompt": "<$>", "annotations_sha256": "a"},
        dict.fromkeys(nothing, 1.0),
        further,
        {name: {"r": column} for name, column in found.items()},
    )


BASE = values(0.2, 0)
WEAK, STRONG = values(0.2, 1), [1.0] * 36 + [0.0] * 4


@pytest.fixture
def results():
    return {"weak": result(BASE, WEAK, sum=BASE), "strong": result(BASE, STRONG, sum=WEAK)}


def test_alike_columns_are_one_contender(results):
    found = contenders(results)
    names = ["base", "patched (weak)", "patched (strong)", "sum (weak)", "sum (strong)"]
    assert [one.name for one in found] == names
    assert [one.figures for one in found] == [
        pytest.approx(figures(column)) for column in (BASE, WEAK, STRONG, BASE, WEAK)
    ]
    results["strong"] = result(WEAK, STRONG)
    names = ["base (weak)", "base (strong)", "patched (weak)", "patched (strong)", "sum (weak)"]
    assert [one.name for one in contenders(results)] == names


def test_pairs_of_base_and_patched_differ_or_tie(results):
    """P-values by a float64 loop over flipped signs, adjusted by hand."""
    found = [one for one in differences(contenders(results)) if one.metric == "average r"]
    columns = {"base": BASE, "patched (weak)": WEAK, "patched (strong)": STRONG}
    draw = np.random.default_rng(5)
    assert [(one.first, one.second) for one in found] == [
        ("base", "patched (weak)"),
        ("base", "patched (strong)"),
        ("patched (weak)", "patched (strong)"),
    ]
    weights = np.array([1 / 30] * 30 + [1 / 10] * 10) / 2
    for one in found:
        terms = weights * (np.array(columns[one.second]) - np.array(columns[one.first]))
        means = [abs((draw.choice([-1, 1], len(terms)) * terms).sum()) for _ in range(4000)]
        wanted = np.mean(np.array(means) >= abs(terms.sum()) - 1e-12)
        assert one.p_value == pytest.approx(wanted, abs=0.03)
        assert one.change == pytest.approx(100 * terms.sum())
        assert one.interval[0] <= one.change <= one.interval[1]
    assert [one.is_significant for one in found] == [False, True, True]
    assert [one.adjusted for one in found] == holm([one.p_value for one in found])
    assert not differences([])


def test_p_values_of_many_pairs_are_adjusted():
    """Holm's own steps: 4 x 0.01, 3 x 0.02, 2 x 0.03 (never below the one before), 1 x 0.5."""
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    ends = (-1.0, 1.0)
    assert Difference("r", "a", "b", 0.0, ends, 0.01, 0.049).is_significant
    assert not Difference("r", "a", "b", 0.0, ends, 0.01, 0.05).is_significant


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"benchmark": "other"}, "same benchmark: bench against other"),
        ({"split": "test"}, "same split: val against test"),
        ({"settings": {"gallery": {"dress": 5, "shirt": 7}}}, "same gallery: .*6.* against .*7"),
        ({"queries": []}, "same number of queries: 40 against 0"),
        ({"base": {"x": 1.0}}, "same metrics: .*average r.* against .*x"),
    ],
)
def test_what_is_not_of_the_same_queries_is_refused(changed, words, results):
    results["strong"] = replace(results["strong"], **changed)
    with pytest.raises(EvaluationError, match=f"weak and strong are not of the {words}"):
        require_comparable(results)


def test_other_queries_and_other_annotations_are_refused(results):
    strong = results["strong"]
    named = replace(strong.queries[7], targets=["u"])
    results["strong"] = replace(strong, queries=[*strong.queries[:7], named, *strong.queries[8:]])
    with pytest.raises(
        EvaluationError, match=r"same queries: \('dress', '7', \['t'\], 1\) against"
    ):
        require_comparable(results)
    other = {**strong.settings, "annotations_sha256": "b"}
    results["strong"] = replace(strong, settings=other)
    with pytest.raises(EvaluationError, match="same annotations: a against b"):
        require_comparable(results)
    del other["annotations_sha256"]
    require_comparable(results)


def test_a_file_that_names_all_right_answers_and_one_that_names_the_first_are_comparable(results):
    """Earlier versions named all, and counted none."""
    several = [f"t{n}" for n in range(30)]
    strong = results["strong"]
    first, *others = strong.queries
    capped = replace(first, targets=[*several[:10], "t20"], answers=30)
    results["strong"] = replace(strong, queries=[capped, *others])
    earlier = asdict(replace(first, targets=several))
    del earlier["answers"]
    weak = results["weak"].to_dict()
    results["weak"] = Result.from_dict(weak | {"queries": [earlier, *weak["queries"][1:]]})
    assert results["weak"].queries[0].answers == 30
    require_comparable(results)
    for changed in ({"answers": 31}, {"targets": ["u", *several[1:10]]}):
        results["strong"] = replace(strong, queries=[replace(capped, **changed), *others])
        with pytest.raises(EvaluationError, match="not of the same queries"):
            require_comparable(results)


def written(results, folder):
    for name, one in results.items():
        one.save(folder / name / "result.json")
    folders = [folder / name for name in results]
    write_comparison(folders, folder / "page.html")
    return (folder / "page.html").read_text().replace(f"{folder}/", "")


def test_the_page_has_figures_pairs_and_conditions(results, tmp_path):
    results["strong"].settings["prompt"] = "<$>, stronger"
    page = written(results, tmp_path)
    assert "<title>2 results on bench</title>" in page
    assert "<p>val split, 40 queries.</p>" in page
    assert "<th>base</th><th>patched (weak)</th><th>patched (strong)</th>" in page
    cell = r"<td>([\d.]+)<br><small>([\d.]+) to ([\d.]+)</small></td>"
    for value, low, high in re.findall(cell, page):
        assert float(low) <= float(value) <= float(high)
    assert len(re.findall(cell, page)) == 3 * 5
    row = "<td>average r</td><td>base</td><td>patched (strong)</td>"
    assert re.search(rf'{re.escape(row)}<td class="up">\+\d', page)
    assert page.count("<td>differ</td>") + page.count("<td>tie</td>") == 9
    assert f"<p>{page.count('<td>differ</td>')} of 9 do:" in page
    apart = "<tr><td>prompt</td><td>&lt;$&gt;</td><td>&lt;$&gt;, stronger</td></tr>"
    assert apart in page
    assert "<dt>gallery</dt><dd>dress 5, shirt 6</dd>" in page
    assert "@@" not in page


def test_files_of_an_earlier_version_have_figures_alone(results, tmp_path):
    results["weak"] = replace(results["weak"], values={}, columns={}, p_values={})
    page = written(results, tmp_path)
    assert "No intervals and no pairs for base (weak), patched (weak): files" in page
    assert page.count("<td>differ</td>") + page.count("<td>tie</td>") == 3


def test_a_run_is_named_once(results, tmp_path):
    results["weak"].save(tmp_path / "result.json")
    with pytest.raises(UsageError, match="a run is named twice"):
        write_comparison([tmp_path, tmp_path], tmp_path / "page.html")
