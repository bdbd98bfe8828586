"""Every option that takes a file, given what is none: a sentence that says so, exit code 1 or 2."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import pytest

TRIPLET = {
    "reference_caption": "a red dog",
    "conditioning_caption": "is blue",
    "target_caption": "a blue dog",
}
PATCH = ("patch", "--method", "searle", "--max-steps", "0", "-q")
REAL = ("--backbone", "ViT-B-32")
SERVER = ("--endpoint", "http://localhost:9", "--model", "m")
READ = {
    "inspect": ("inspect", "FILE"),
    "doctor": ("doctor", "FILE"),
    "export": ("export", "FILE", "--for", "searle", "--out", "OUT"),
    "export --base": ("export", "PATCH", "--for", "pic2word", "--base", "FILE", "--out", "OUT"),
    "export --projection": (
        "export", "PATCH", "--for", "searle", "--projection", "FILE", "--out", "OUT",
    ),
    "eval --patch": ("eval", "--method", "searle", "--patch", "FILE", "-q"),
    "eval --projection": ("eval", "--method", "searle", "--projection", "FILE", "-q"),
    "eval --data": ("eval", "--method", "searle", "--benchmark", "cirr", "--data", "FILE"),
    "eval --pretrained": ("eval", "--method", "searle", *REAL, "--pretrained", "FILE"),
    "eval --backbone": ("eval", "--method", "searle", "--backbone", "FILE", "--pretrained", "FILE"),
    "diagnose --patch": ("diagnose", "--method", "searle", "--patch", "FILE"),
    "run --patch": ("run", "--patch", "FILE", "--", "python", "x.py"),
    "run SCRIPT": ("run", "--patch", "PATCH", "--", "python", "FILE"),
    "report": ("report", "FILE", "--out", "OUT"),
    "projection convert": (
        "projection", "convert", "FILE", "--method", "searle", *REAL, "--out", "OUT",
    ),
    "patch --triplets": (*PATCH, "--triplets", "FILE", "--out", "OUT"),
    "patch --projection": (*PATCH, "--projection", "FILE", "--out", "OUT"),
    "triplets rules": ("triplets", "rules", "FILE", "--out", "OUT", "-q"),
    "triplets rules --kinds": (
        "triplets", "rules", "TRIPLETS", "--column", "none", "--kinds", "FILE", "--out", "OUT",
    ),
    "adapt --kinds": ("adapt", "--captions", "TRIPLETS", "--kinds", "FILE", "--out", "OUT", "-q"),
    "triplets llm": (
        "triplets", "llm", "FILE", "--out", "OUT", "-q", *SERVER,
    ),
    "triplets llm --prompt": (
        "triplets", "llm", "TRIPLETS", "--out", "OUT", "--prompt", "FILE", "--local", "FILE",
    ),
    "triplets llm --local": ("triplets", "llm", "TRIPLETS", "--out", "OUT", "--local", "FILE"),
    "triplets check": ("triplets", "check", "FILE", "-q"),
    "triplets sample": ("triplets", "sample", "FILE"),
}  # fmt: skip
WRITTEN = {
    "patch --out": (*PATCH, "--out", "FILE"),
    "export --out": ("export", "PATCH", "--for", "fti4cir", "--out", "FILE"),
    "triplets rules --out": ("triplets", "rules", "TRIPLETS", "--out", "FILE", "-q"),
    "triplets llm --out": (
        "triplets", "llm", "TRIPLETS", "--out", "FILE", "-q", *SERVER,
    ),
    "triplets check --html": ("triplets", "check", "TRIPLETS", "--html", "FILE", "-q"),
    "triplets check --fix": ("triplets", "check", "TRIPLETS", "--fix", "FILE", "-q"),
    "diagnose --out": ("diagnose", "--method", "searle", "--patch", "PATCH", "--out", "FILE"),
    "report --out": ("report", ".", "--out", "FILE"),
    "projection convert --out": (
        "projection", "convert", "PATCH", "--method", "searle", *REAL, "--out", "FILE",
    ),
}  # fmt: skip
KINDS = ("folder", "missing", "in no folder", "pipe", "no UTF-8", "empty", "long name", "deep")
STREAMS = (
    "patch --triplets",
    "triplets rules",
    "triplets rules --kinds",
    "triplets llm",
    "triplets check",
    "triplets sample",
)
"""Read pipes, as a shell's <(...) makes them; an empty one is said to be empty."""


@pytest.fixture
def no_hang():
    """An alarm: a command that waits for ever fails instead."""

    def fail(*arguments):
        raise AssertionError("it waits for ever")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def made(kind: str, folder: Path) -> Path:
    path = folder / "it.jsonl"
    if kind == "folder":
        path.mkdir()
    elif kind == "in no folder":
        (folder / "file").write_bytes(b"x")
        return folder / "file" / "it.jsonl"
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "no UTF-8":
        path.write_bytes(b'{"reference_caption": "\xff\xfe\x80"}\n')
    elif kind == "empty":
        path.touch()
    elif kind == "long name":
        return folder / ("n" * 300)
    elif kind == "deep":
        path.write_bytes(b"[" * 200_000)
    return path


@pytest.fixture
def run(rtd, tmp_path, monkeypatch, patch_file):
    (tmp_path / "triplets.jsonl").write_text((json.dumps(TRIPLET) + "\n") * 3)
    monkeypatch.chdir(tmp_path)
    places = {"PATCH": patch_file, "TRIPLETS": tmp_path / "triplets.jsonl", "OUT": tmp_path / "out"}

    def run(command, path):
        return rtd(*(places.get(word, path if word == "FILE" else word) for word in command))

    return run


@pytest.fixture(scope="session")
def patch_file(rtd, tmp_path_factory):
    out = tmp_path_factory.mktemp("patch") / "patch.safetensors"
    assert rtd(*PATCH, "--out", out).returncode == 0
    return out


def refused(run):
    said = run.stdout + run.stderr
    assert "not foreseen" not in said
    assert run.returncode in (1, 2), said
    return said


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("option", READ)
def test_what_is_read(option, kind, run, tmp_path, no_hang):
    path = made(kind, tmp_path)
    if kind == "pipe" and option in STREAMS:
        threading.Thread(target=lambda: path.open("wb").close(), daemon=True).start()
    said = refused(run(READ[option], path))
    assert "Traceback" not in said or option == "run SCRIPT"  # the script's own


@pytest.mark.parametrize("kind", ("folder", "in no folder", "pipe", "long name"))
@pytest.mark.parametrize("option", WRITTEN)
def test_what_is_written(option, kind, run, tmp_path, no_hang):
    path = made(kind, tmp_path)
    refused(run(WRITTEN[option], path))
    assert kind != "pipe" or path.is_fifo()


@pytest.mark.parametrize("length", (245, 250, 255))
@pytest.mark.parametrize("option", ("patch --out", "triplets rules --out", "triplets llm --out"))
def test_long_names_work_or_are_refused(option, length, run, tmp_path):
    result = run(WRITTEN[option], tmp_path / "n".ljust(length, "x"))
    assert "not foreseen" not in result.stdout + result.stderr


@pytest.mark.parametrize("columns", ["x=y", "reference", "reference=", "=", ",", "reference=nope"])
def test_columns_that_there_are_not(columns, run, tmp_path):
    said = refused(run(("triplets", "sample", "TRIPLETS", "--columns", columns), None))
    assert columns.split(",")[0] in said or "nope" in said
