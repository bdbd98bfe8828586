"""`rtd triplets llm` against a server on this machine."""

from __future__ import annotations

import time

import pytest
from model_server import KEY, says

from rtd_adapters.cli import main
from rtd_adapters.triplets import read_triplets
from rtd_adapters.triplets.checking.flaws import PLACEHOLDER

SAYS = {
    "dog 2": [says("a $ dog"), says("a green dog")],
    "dog 4": [says("a $ dog"), says("a * dog")],
}


@pytest.fixture
def rtd(capsys, monkeypatch):
    """Runs `rtd triplets llm` without waits; exit code and what it said."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main(["triplets", "llm", *map(str, arguments)])
        return exit_.value.code or 0, capsys.readouterr().err

    return run


@pytest.mark.parametrize("way", [["--batch"], []])
def test_flawed_answers_are_asked_for_again_and_counted(way, rtd, model, captions, tmp_path):
    model.says, model.faults = SAYS, {"dog 1": [503]}
    out = tmp_path / "out.jsonl"
    server = ("--endpoint", model.url, "--model", "m", "--price", "10", "100")
    code, said = rtd(captions, "-o", out, *server, *way)
    assert code == 0, said
    lines = said[said.index("wrote") :].splitlines()
    assert lines[0].endswith("23 triplets of 24 captions")
    failed = ["  submitted again (HTTP 503): 1"] if way else []
    assert lines[1:] == [
        f"  rejected: {PLACEHOLDER}: 1",
        f"  asked again (rejected: {PLACEHOLDER}): 2",
        *failed,
        "  2,600 prompt and 260 answer tokens, cost 0.05",
    ]
    assert len(read_triplets(out)) == 23
    assert ("batch batch_1: completed" in said) == bool(way)
    assert KEY not in said


def test_without_a_check_every_triplet_is_taken(rtd, model, captions, tmp_path):
    model.says = SAYS
    server = ("--endpoint", model.url, "--model", "m")
    code, said = rtd(captions, "-o", tmp_path / "out.jsonl", *server, "--no-check")
    assert (code, "24 triplets of 24" in said, "again" in said) == (0, True, False)


def test_quiet_batches_say_nothing(rtd, model, captions, tmp_path):
    server = ("--endpoint", model.url, "--model", "m")
    assert rtd(captions, "-o", tmp_path / "out.jsonl", *server, "--batch", "-q") == (0, "")


def test_a_model_of_this_machine_has_no_batches(rtd, captions, tmp_path):
    code, said = rtd(captions, "-o", tmp_path / "out", "--local", tmp_path, "--batch")
    assert code == 2
    assert "--batch needs --endpoint" in said
