"""A comparison fits into its time: rounds go first, then cases, and what goes is said."""

from __future__ import annotations

import json

import pytest

from rtd_adapters.jobs.bench import rounds
from rtd_adapters.jobs.bench.budget import MARGIN, Budget, fitting
from rtd_adapters.jobs.bench.cases import BenchCase
from rtd_adapters.jobs.bench.probe import Probe, probe

REFERENCE, FAST, CACHED, HALF = CASES = BenchCase("ViT-B-32", "full", 32).variants()
SECONDS = {REFERENCE: 10.0, FAST: 1.0, CACHED: 0.5, HALF: 40.0}
PROBES = {case: Probe(1.0, 1, 1.0, seconds / MARGIN) for case, seconds in SECONDS.items()}


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1000, (CASES, 3)),  # as many rounds as are wanted
        (4 + 3 * 51.5 + 0.1, (CASES, 2)),  # and one more step to warm up
        (4 + 2 * 51.5 - 0.1, ([REFERENCE, FAST, CACHED], 3)),  # bf16 would be too slow
        (3 + 2 * 11.5 - 0.1, ([REFERENCE, FAST], 1)),
        (2 + 2 * 11 - 0.1, ([FAST], 3)),  # no time for the reference
        (1 + 2 * 1 - 0.1, ([], 0)),
    ],
)
def test_what_fits(seconds, expected):
    found, able = fitting(CASES, PROBES, 3, seconds)
    assert (found, able) == (list(expected[0]), expected[1])


def test_a_case_that_was_never_tried_to_its_end_is_not_timed():
    assert fitting(CASES, {FAST: PROBES[FAST]}, 3, 1000) == ([FAST], 3)
    assert fitting(CASES, {REFERENCE: PROBES[REFERENCE]}, 3, 1000) == ([], 0)
    assert fitting(CASES, {}, 3, 1000) == ([], 0)


def test_time_is_shared_out_evenly():
    budget = Budget.of(60)
    assert budget.share(2).left == pytest.approx(30, abs=0.5)
    assert Budget.of(-1).left == 0


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.json"
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1}
    path.write_text(json.dumps({"embed_dim": 32, "vision_cfg": {}, "text_cfg": text}))
    return str(path)


def test_what_is_left_out_is_said(tiny, monkeypatch):
    """A reference that does not come to its end, and a precision that is emulated."""

    def tried(case, limit):
        return None if case.engine == "reference" else Probe(5.0, 10**9, 0.1, 0.01)

    monkeypatch.setattr(rounds, "probe", tried)
    monkeypatch.setattr(rounds, "emulated", lambda precision: precision == "bf16")
    said = []
    found = rounds.bench([tiny], ["full"], 4, 2, Budget.of(60), said.append)
    assert [row.case.label for row in found.rows] == ["fast", "fast, anchors cached"]
    assert found.rows[0].speedup is None
    assert found.rows[0].peak_memory_mb == 5.0
    reasons = {title.removeprefix(f"{tiny}, full, "): why for title, why in found.left_out.items()}
    assert reasons["reference"] == "two steps take more than the 30 s that there are"
    assert reasons["fast, anchors cached, bf16"] == "this CPU has no bf16 units and emulates them"
    assert any("left out, two steps take" in line for line in said)


def test_a_probe_is_ended_when_its_time_is_up(tiny):
    assert probe(BenchCase(tiny, "full", 4), 0.05) is None
