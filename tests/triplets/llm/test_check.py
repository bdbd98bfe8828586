"""Answers that a check rejects are asked for again, once, and nothing is paid for twice."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter

import pytest
from model_server import SAYS, no_purple, run, says

from rtd_adapters.errors import FileError, TripletError, UsageError
from rtd_adapters.triplets import read_triplets
from rtd_adapters.triplets.checking.flaws import FOREIGN, PLACEHOLDER, Sieve
from rtd_adapters.triplets.llm import run as run_module
from rtd_adapters.triplets.llm.answers import NO_JSON
from rtd_adapters.triplets.llm.completion import Answer
from rtd_adapters.triplets.llm.ledger import NO_ANSWER
from rtd_adapters.triplets.llm.run import llm_triplets


def test_a_rejected_answer_is_asked_for_again_once_and_then_dropped(model, captions, tmp_path):
    model.says = SAYS
    out = tmp_path / "out.jsonl"
    counts = run(model, captions, out, faults=no_purple)
    targets = {t.reference: t.target for t in read_triplets(out)}
    kept = [f"dog {n}" for n in range(24) if n not in (4, 8, 9)]
    assert list(targets) == kept
    special = {"dog 2": "green dog", "dog 6": "grey dog"}
    assert targets == {text: special.get(text, f"blue {text}") for text in kept}
    assert counts.asked_again == {"rejected: purple": 3, NO_JSON: 2}
    assert counts.dropped == {"rejected: mauve": 1, "rejected: purple": 1, NO_JSON: 1}
    assert (counts.captions, counts.triplets, counts.prompt_tokens) == (24, 21, 2900)
    assert model.asked == {f"dog {n}": 2 if f"dog {n}" in SAYS else 1 for n in range(24)}


def test_the_model_is_told_what_was_wrong_and_draws_anew(model, captions, tmp_path):
    model.says = SAYS
    run(model, captions, tmp_path / "out.jsonl", faults=no_purple, seed=5)
    first, second = model.talks["dog 4"]
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "user"]
    assert second["messages"][0] == first["messages"][0]
    assert second["messages"][1]["content"] == SAYS["dog 4"][0]
    assert "purple, mauve" in second["messages"][2]["content"]
    assert (first["seed"], second["seed"]) == (5, 6)
    assert NO_JSON in model.talks["dog 6"][1]["messages"][2]["content"]


def test_half_a_character_and_endless_talk_are_not_sent_back(model, captions, tmp_path):
    model.says = {"dog 1": ["x" * 9000], "dog 2": ["\ud800 I will not."]}
    run(model, captions, tmp_path / "out.jsonl", faults=no_purple)
    assert model.talks["dog 1"][1]["messages"][1]["content"] == "x" * 2000
    assert model.talks["dog 2"][1]["messages"][1]["content"] == "? I will not."


def test_without_a_check_nothing_is_asked_twice(model, captions, tmp_path):
    model.says = SAYS
    counts = run(model, captions, tmp_path / "out.jsonl")
    assert counts.dropped == {NO_JSON: 2}
    assert not counts.asked_again
    assert set(model.asked.values()) == {1}


def test_a_server_that_falls_silent_at_a_second_question_costs_that_caption(
    model, captions, tmp_path
):
    model.says, model.faults = SAYS, {"dog 2": [None, *[500] * 6]}
    counts = run(model, captions, tmp_path / "out.jsonl", concurrency=1, faults=no_purple)
    assert counts.dropped[NO_ANSWER] == 1
    assert counts.triplets == 20


def asker(paid):
    """A model that says the same as the server, and keeps a list of what was asked."""

    def ask(*turns):
        caption = turns[0].split("Caption: ")[1].strip()
        answers = SAYS.get(caption, [says(f"blue {caption}")])
        paid[caption, len(turns) // 2] += 1
        return Answer(answers[len(turns) // 2], 10, 1)

    return ask


def work(captions, out, paid, faults=no_purple):
    return llm_triplets(captions, out, asker(paid), identity={}, faults=faults)


def test_killed_after_any_row_it_goes_on_to_the_same_bytes_and_pays_for_nothing_twice(
    captions, tmp_path, monkeypatch
):
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
    paid = Counter()
    counts = work(captions, whole, paid)
    assert set(paid.values()) == {1}
    with monkeypatch.context() as patched:
        patched.setattr(run_module, "write_triplets", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            work(captions, broken, Counter())
    rows = (tmp_path / "broken.jsonl.work" / "answers.jsonl").read_bytes().splitlines(True)
    for number in range(len(rows) + 1):
        out = tmp_path / f"{number}.jsonl"
        shutil.copytree(tmp_path / "broken.jsonl.work", tmp_path / f"{number}.jsonl.work")
        journal = tmp_path / f"{number}.jsonl.work" / "answers.jsonl"
        journal.write_bytes(b"".join(rows[:number]) + rows[number][:9] * (number % 2)
                            if number < len(rows) else b"".join(rows))  # fmt: skip
        known = sum(b'"answer"' in row for row in rows[:number])
        again = Counter()
        assert work(captions, out, again) == counts
        assert out.read_bytes() == whole.read_bytes()
        assert set(again.values()) <= {1}
        assert again.total() + known == paid.total()


def test_a_check_that_breaks_loses_no_answer(captions, tmp_path):
    def breaks(triplet):
        if triplet.reference == "dog 7":
            raise UsageError("no such model")
        return no_purple(triplet)

    out, paid = tmp_path / "out.jsonl", Counter()
    with pytest.raises(UsageError):
        work(captions, out, paid, breaks)
    assert ("dog 7", 0) in paid
    work(captions, out, paid)
    assert set(paid.values()) == {1}


def test_a_run_with_the_check_does_not_go_on_without(captions, tmp_path):
    out = tmp_path / "out.jsonl"
    with pytest.raises(ZeroDivisionError):
        work(captions, out, Counter(), lambda triplet: 1 / 0)
    with pytest.raises(FileError, match="other settings"):
        work(captions, out, Counter(), None)


def test_the_check_is_called_by_one_thread_at_a_time(model, captions, tmp_path):
    inside = threading.Lock()

    def slow(triplet):
        assert inside.acquire(blocking=False)
        time.sleep(0.002)
        inside.release()
        return []

    assert run(model, captions, tmp_path / "out.jsonl", concurrency=8, faults=slow).triplets == 24


def test_nothing_good_at_all_says_why(captions, tmp_path):
    def ask(*turns):
        return Answer("-" if turns[0].endswith("dog 1\n") else says("b"), 1, 1)

    with pytest.raises(TripletError, match=rf"rejected: all: 23, {NO_JSON}: 1"):
        llm_triplets(captions, tmp_path / "o", ask, identity={}, faults=lambda triplet: ["all"])


def test_flaws_of_a_triplet_are_those_it_has_alone(captions, tmp_path):
    """The sieve's memory of repeats would make a result hang on the order of the answers."""
    flawed = {"dog 1": says("a $ dog"), "dog 2": says("собака на траве", "собака")}

    def ask(*turns):
        caption = turns[0].split("Caption: ")[1].strip()
        return Answer(flawed.get(caption, says("a blue cat")), 1, 1)

    check = Sieve().flaws_within
    counts = llm_triplets(captions, tmp_path / "o", ask, identity={}, faults=check)
    assert counts.triplets == 22
    assert counts.dropped == {f"rejected: {PLACEHOLDER}": 1, f"rejected: {FOREIGN}": 1}
