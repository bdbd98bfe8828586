"""Runs over captions: in order, to the end, and no answer is paid for twice."""

from __future__ import annotations

import pytest
from model_server import KEY, run

from rtd_adapters.errors import FileError, TripletError, UsageError
from rtd_adapters.triplets import read_triplets
from rtd_adapters.triplets.llm.answers import (
    NO_JSON,
)
from rtd_adapters.triplets.llm.ledger import NO_ANSWER
from rtd_adapters.triplets.llm.run import llm_triplets


def test_a_server_with_every_fault_still_gives_the_file_in_order(model, captions, tmp_path):
    model.faults = {
        "dog 1": [429, 500, 503],
        "dog 5": ["slow"],
        "dog 7": ["broken", "cut"],
        "dog 9": ["talk"],
        "dog 11": [500] * 6,
    }
    out = tmp_path / "out.jsonl"
    counts = run(model, captions, out)
    expected = [f"dog {n}" for n in range(24) if n not in (9, 11)]
    assert [t.reference for t in read_triplets(out)] == expected
    assert [t.target for t in read_triplets(out)] == [f"blue {text}" for text in expected]
    assert (counts.captions, counts.triplets) == (24, 22)
    assert counts.dropped == {NO_JSON: 1, NO_ANSWER: 1}
    assert (counts.prompt_tokens, counts.completion_tokens) == (2300, 230)
    assert counts.cost(10.0, 100.0) == pytest.approx(0.046)
    assert model.asked["dog 1"] == 4
    assert 1 < model.most_busy <= 4
    assert model.headers == {f"Bearer {KEY}"}


def test_a_broken_run_asks_for_no_caption_twice(model, captions, tmp_path):
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    run(model, captions, whole)
    model.asked.clear(), model.answered.clear()
    model.faults = {"dog 13": [401]}
    with pytest.raises(UsageError, match="HTTP 401"):
        run(model, captions, out)
    assert not out.exists()
    assert 13 <= model.answered.total() < 24
    with pytest.raises(FileError, match="other settings"):
        llm_triplets(captions, out, lambda prompt: None, identity={"model": "other"})
    run(model, captions, out)
    assert out.read_bytes() == whole.read_bytes()
    assert set(model.answered.values()) == {1}
    assert model.answered.total() == 24
    assert not (tmp_path / "out.jsonl.work").exists()


def test_a_server_that_is_gone_stops_the_run_and_keeps_what_is_done(model, captions, tmp_path):
    model.faults = {f"dog {n}": [503] * 6 for n in range(10, 24)}
    out = tmp_path / "out.jsonl"
    with pytest.raises(TripletError, match="3 captions failed in a row"):
        run(model, captions, out, concurrency=1)
    model.faults = {}
    assert run(model, captions, out).triplets == 24
    assert set(model.answered.values()) == {1}


def test_failures_that_are_not_in_a_row_cost_their_captions_alone(model, captions, tmp_path):
    model.faults = {f"dog {n}": [500] * 6 for n in (2, 3, 8, 14, 20)}
    counts = run(model, captions, tmp_path / "out.jsonl", concurrency=1)
    assert counts.triplets == 19
    assert counts.dropped == {NO_ANSWER: 5}


def test_a_damaged_journal_is_never_taken_for_answers(captions, model, tmp_path):
    """One bit of one stored answer differs: the run refuses it and says what to do."""
    out = tmp_path / "out.jsonl"
    model.faults = {"dog 13": [401]}
    with pytest.raises(UsageError):
        run(model, captions, out)
    journal = tmp_path / "out.jsonl.work" / "answers.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole.replace(b"blue", b"blve", 1))
    with pytest.raises(FileError, match=r"line \d+ is damaged\. Put a copy"):
        run(model, captions, out)
    journal.write_bytes(whole)
    assert run(model, captions, out).triplets == 24


def test_only_what_rtd_wrote_goes_with_the_work_folder(captions, model, tmp_path):
    out = tmp_path / "out.jsonl"
    model.faults = {"dog 13": [401]}
    with pytest.raises(UsageError):
        run(model, captions, out)
    (tmp_path / "out.jsonl.work" / "notes.txt").write_text("mine")
    run(model, captions, out)
    assert [path.name for path in (tmp_path / "out.jsonl.work").iterdir()] == ["notes.txt"]


def test_a_name_that_leaves_no_room_for_the_work_folder_is_refused_before_any_answer_is_paid(
    captions, model, tmp_path
):
    with pytest.raises(FileError, match="name too long"):
        run(model, captions, tmp_path / ("n" * 255))
    assert not model.asked


def test_no_usable_answer_at_all_says_why(model, tmp_path):
    path = tmp_path / "captions.txt"
    path.write_text("dog\ncat\n")
    model.faults = {"dog": ["talk"], "cat": ["talk"]}
    with pytest.raises(TripletError, match=f"{NO_JSON}: 2"):
        run(model, path, tmp_path / "out.jsonl")
