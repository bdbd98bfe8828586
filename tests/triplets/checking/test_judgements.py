"""The check agrees with what was judged by hand, on the half that nothing was set by."""

from __future__ import annotations

import lzma
import random
import sys
from importlib.util import module_from_spec, spec_from_file_location
from itertools import islice
from pathlib import Path
from statistics import mean

import pytest

from rtd_adapters.triplets import Triplet, write_triplets
from rtd_adapters.triplets.checking.quality import measure
from rtd_adapters.triplets.checking.sense import FAULTS, IMPLAUSIBLE, MIXED, UNNATURAL, Sense
from rtd_adapters.triplets.checking.verdict import DOUBTFUL, GOOD, UNFIT, UNIFORM, judge
from rtd_adapters.triplets.rules.run import rule_triplets

SCRIPT = Path(__file__).parents[3] / "examples" / "benchmarks" / "judgements.py"
FLOORS = {
    "plausible": (0.7, 0.6, 0.65),
    "grammatical": (0.85, 0.5, 0.3),
    "attribute": (0.8, 0.85, 0.7),
    "natural": (0.85, 0.9, 0.7),
    "answered": (0.9, 0.7, 0.5),
}
"""Agreement, precision and recall."""


@pytest.fixture(scope="module")
def judged():
    spec = spec_from_file_location("judgements", SCRIPT)
    module = sys.modules["judgements"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def corpus(judged):
    return judged.corpus()


def test_agreement_on_the_reported_half(judged, corpus):
    rows = [row for row in judged.judgements() if row["half"] == "reported"]
    assert len(rows) == 100
    found = judged.agreements(rows, Sense(corpus))
    for name, (agreement, precision, recall) in FLOORS.items():
        figures = (found[name].agreement, found[name].precision, found[name].recall)
        assert figures >= (agreement, precision, recall), name
        assert all(a >= b for a, b in zip(figures, FLOORS[name], strict=True)), (name, figures)


def test_good_triplets_pass_and_bad_ones_do_not(judged, corpus):
    rows, sense = judged.judgements(), Sense(corpus)
    passed = {True: [], False: []}
    for row in rows:
        if row["half"] == "reported":
            good = all(row[name] for name in judged.SIGNALS)
            passed[good].append(not sense.faults(judged.triplet(row)))
    assert mean(passed[True]) > 0.8
    assert mean(passed[False]) < 0.3


def test_every_judgement_is_whole(judged):
    rows = judged.judgements()
    assert len(rows) == 200
    assert {row["half"] for row in rows} == set(judged.HALVES)
    assert {row["source"] for row in rows} == set(judged.SOURCES)
    assert {row[name] for row in rows for name in judged.SIGNALS} == {0, 1}
    assert len({judged.triplet(row) for row in rows}) == 200
    assert set(judged.SIGNALS.values()) == set(FAULTS)


def test_triplets_of_the_old_rules_are_unfit_and_it_is_said_why(judged, corpus, tmp_path):
    rows = [judged.triplet(r) for r in judged.judgements() if r["source"] == "old rules"]
    path = tmp_path / "old.jsonl"
    write_triplets(path, rows)
    verdict = judge(measure(path, corpus=corpus))
    assert verdict.word == UNFIT
    unfit = [reason for reason in verdict.reasons if reason.verdict == UNFIT]
    assert any("unlikely picture" in reason.text for reason in unfit)
    assert any("one attribute" in reason.text for reason in unfit)
    assert all(set(reason.examples) <= set(rows) and reason.examples for reason in unfit)


def test_triplets_of_the_new_rules_are_uniform(judged, tmp_path):
    few, path = tmp_path / "few.txt", tmp_path / "new.jsonl"
    with lzma.open(judged.FOLDER / "captions.txt.xz", "rt", encoding="utf-8") as captions:
        few.write_text("".join(islice(captions, 3000)), "utf-8")
    assert rule_triplets(few, path).triplets > 1000
    verdict = judge(measure(path))
    assert verdict.word == UNIFORM, verdict.reasons
    assert '"is ..."' in verdict.reasons[0].text


def test_triplets_that_were_written_one_by_one_are_good(judged):
    measures = measure(judged.FOLDER / "written.jsonl.xz")
    assert measures.triplets == 1059
    assert judge(measures).word == GOOD, judge(measures).reasons


def test_half_nonsense_is_doubtful(tmp_path):
    """Every second triplet has any word of its caption swapped for any other."""
    from rtd_adapters.demo.triplets import demo_triplets

    draw = random.Random(0)
    sensible = demo_triplets(1100, 0)
    words = sorted({word for t in sensible for word in t.reference.split() if len(word) > 3})

    def swapped(text):
        parts = text.split()
        place = draw.choice([n for n, word in enumerate(parts) if len(word) > 3])
        word = draw.choice(words)
        changed = [*parts[:place], word, *parts[place + 1 :]]
        return Triplet(text, f"replace {parts[place]} with {word}", " ".join(changed))

    path = tmp_path / "half.jsonl"
    write_triplets(path, [swapped(t.reference) if n % 2 else t for n, t in enumerate(sensible)])
    verdict = judge(measure(path))
    assert verdict.word == DOUBTFUL, verdict.reasons
    assert all(r.examples for r in verdict.reasons if r.verdict == DOUBTFUL)


def test_triplets_of_a_grammar_that_knows_its_scenes_are_good_but_for_their_templates(tmp_path):
    from rtd_adapters.demo.triplets import demo_triplets

    path = tmp_path / "demo.jsonl"
    write_triplets(path, demo_triplets(1100, 0))
    measures = measure(path)
    assert measures.sense.judged == 1100
    assert judge(measures).word == UNIFORM, judge(measures).reasons


def test_faults_are_told_apart(judged, corpus):
    """Each fault is found where it was made on purpose, and nothing where nothing was."""
    sense = Sense(corpus)
    triplet = judged.Triplet
    reference = "A brown dog is sitting on a bench in a park."
    good = triplet(reference, "make it a cat", "A brown cat is sitting on a bench in a park.")
    assert sense.faults(good) == []
    lake = triplet(reference, "is pizza", "A brown pizza is sitting on a bench in a park.")
    assert {IMPLAUSIBLE, MIXED} <= set(sense.faults(lake))
    bare = triplet(reference, "is cat instead", "A brown cat is sitting on a bench in a park.")
    assert sense.faults(bare) == [UNNATURAL]
