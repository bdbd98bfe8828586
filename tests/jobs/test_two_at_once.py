"""Two runs that write one place: the second is refused, and takes nothing from the first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rtd_adapters.errors import FileError
from rtd_adapters.io.locks import claimed

PATCH = ("patch", "--method", "searle", "--batch-size", 4, "--quiet", "--max-steps")


def start(*arguments):
    command = [sys.executable, "-m", "rtd_adapters", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for(path, process):
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
        time.sleep(0.02)


@pytest.mark.slow
def test_two_patches_of_one_name(tmp_path):
    """The first waits, stopped, in the middle of its work."""
    out, run = tmp_path / "p.safetensors", tmp_path / "run"
    first = start(*PATCH, 4, "--out", out, "--run-dir", run, "--checkpoint-every", 1)
    wait_for(run / "step-000000001" / "state.json", first)
    first.send_signal(signal.SIGSTOP)
    for other in (("--out", out), ("--out", tmp_path / "q", "--run-dir", run)):
        second = start(*PATCH, 1, *other, "--overwrite")
        error = second.communicate(timeout=120)[1]
        assert second.returncode == 1
        assert f"another run (process {first.pid} on" in error
    first.send_signal(signal.SIGCONT)
    assert first.wait(timeout=120) == 0
    assert sorted(path.name for path in run.iterdir()) == [
        "finished.json", "metrics.jsonl", "rtd-options.yaml", "step-000000002", "step-000000003"
    ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.safetensors", "run"]


@pytest.fixture
def held(tmp_path):
    """Holds a place as another run does, for as long as the block lasts."""
    return lambda name: claimed(tmp_path / name)


@pytest.fixture
def rtd(capsys):
    """Runs `rtd` and returns its exit code and what it said."""

    def run(*arguments):
        from rtd_adapters.cli import main

        with pytest.raises(SystemExit) as exit_:
            main(list(map(str, arguments)))
        return exit_.value.code, capsys.readouterr().err

    return run


MINIATURE = Path(__file__).parents[2] / "examples" / "reproduce" / "miniature.yaml"
COMMANDS = {
    "rules": ("triplets", "rules", "IN", "--out"),
    "llm": ("triplets", "llm", "IN", "--endpoint", "http://127.0.0.1:9", "--model", "m", "--out"),
    "check": ("triplets", "check", "IN", "--html"),
    "patch": ("patch", "--method", "searle", "--out"),
    "sweep": ("sweep", "--method", "searle", "--noise-scale", "0", "--out"),
    "eval": ("eval", "--method", "searle", "--out"),
    "eval table": ("eval", "--method", "searle", "--csv"),
    "submission": ("eval", "--method", "searle", "--split", "test", "--out"),
    "report": ("report", ".", "--out"),
    "reproduce": ("reproduce", MINIATURE, "--out"),
    "diagnose": ("diagnose", "--method", "searle", "--patch", "IN", "--out"),
    "convert": (
        "projection", "convert", "IN", "--method", "searle", "--backbone", "ViT-B-32", "--out"
    ),
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_a_place_that_another_run_holds_is_refused(command, tmp_path, held, rtd):
    given = tmp_path / "in.txt"
    given.write_text("a dog\n")
    words = [given if word == "IN" else word for word in COMMANDS[command]]
    with held("out"):
        code, error = rtd(*words, tmp_path / "out")
    assert code == 1
    assert f"is being written by another run (process {os.getpid()}" in error
    assert [path.name for path in tmp_path.iterdir()] == ["in.txt"]


def test_an_exported_folder_that_another_run_holds_is_refused(tmp_path, held):
    from rtd_adapters.export.exporter import ExportJob
    from rtd_adapters.export.run import export_patch

    job = ExportJob(None, tmp_path / "out")
    with held("out"), pytest.raises(FileError, match="another run"):
        export_patch(job, "lincir")


@pytest.mark.parametrize("place", ["out.run", "out.work", "README.md"])
def test_the_places_beside_an_output_are_held_too(place, tmp_path, held, rtd):
    (tmp_path / "in.txt").write_text("a dog\n")
    name = "rules" if place == "out.work" else "patch"
    words = [tmp_path / "in.txt" if word == "IN" else word for word in COMMANDS[name]]
    card = ["--card"] if place == "README.md" else []
    with held(place):
        code, error = rtd(*words, tmp_path / "out", *card)
    assert code == 1
    assert f"{tmp_path / place} is being written by another run" in error


def test_of_several_processes_only_the_first_one_claims(tmp_path, monkeypatch):
    from rtd_adapters.jobs import patch
    from rtd_adapters.jobs.inputs import PatchJob

    job = PatchJob("searle", tmp_path / "p")
    assert job.out in patch._places(job)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert not patch._places(job)
