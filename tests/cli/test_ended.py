"""Runs that the system ends: what they leave, what they say, and what the next one sweeps."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import click
import pytest

from rtd_adapters import cli

WAIT = (
    "import sys, time, pathlib\n"
    "from rtd_adapters import cli\n"
    "from rtd_adapters.io.atomic import whole_file\n"
    "from rtd_adapters.io.locks import claimed\n"
    "@cli.cli.command()\n"
    "def wait():\n"
    "    out = pathlib.Path(sys.argv[1])\n"
    "    with claimed(out), whole_file(out):\n"
    "        print('at work', flush=True)\n"
    "        time.sleep(60)\n"
    "cli.main(['wait'])\n"
)


def at_work(out, before=None):
    """A command in the middle of its work, which holds a place and writes a file."""
    process = subprocess.Popen(
        [sys.executable, "-c", WAIT, str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
    )
    assert process.stdout.readline() == "at work\n"
    return process


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_a_signal_ends_a_run_tidily(number, code, tmp_path):
    process = at_work(tmp_path / "out")
    assert list(tmp_path.iterdir())
    process.send_signal(number)
    error = process.communicate(timeout=30)[1]
    assert process.returncode == code
    assert "goes on with --resume" in error
    assert "Traceback" not in error
    assert not list(tmp_path.iterdir())


class EndsInside:
    """A sequence during whose reading a signal comes."""

    def __init__(self, number):
        self.number = number

    def __len__(self):
        return 1

    def __getitem__(self, place):
        os.kill(os.getpid(), self.number)
        return 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_for_which_torch_raises_an_error_of_its_own(number, code, capsys, monkeypatch):
    import torch

    monkeypatch.setitem(
        cli.cli.commands, "make", click.Command("make", callback=lambda: make(EndsInside(number)))
    )
    made = []

    def make(sequence):
        try:
            torch.tensor(sequence)
        except ValueError as error:
            made.append(error)
            raise

    with pytest.raises(SystemExit) as exit_:
        cli.main(["make"])
    assert made  # else torch lets it through, and this shows nothing
    assert exit_.value.code == code
    assert "not foreseen" not in capsys.readouterr().err


def test_under_nohup_a_hangup_is_ignored(tmp_path):
    process = at_work(tmp_path / "out", lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    process.kill()
    process.communicate()


def test_main_gives_the_handlers_back(rtd):
    before = signal.getsignal(signal.SIGTERM)
    assert rtd("--version").returncode == 0
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_next_patch_sweeps_what_a_killed_one_left(patch, tmp_path):
    process = at_work(tmp_path / "w.safetensors")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left = sorted(path.suffix for path in tmp_path.iterdir())
    assert left == [".holder", ".lock", ".part"]
    run = patch(tmp_path / "w.safetensors", "--max-steps", 0, "--quiet")
    assert run.returncode == 0, run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize("full", ["p.safetensors", "step-000000001", "metrics.jsonl"])
def test_a_full_disk_is_one_message_and_nothing_half_written(full, patch, tmp_path, monkeypatch):
    """The disk is full when this file is written; all others fit."""
    from rtd_adapters.io import atomic

    flush = atomic._flush

    def flush_until_full(path):
        if f".{full}." in str(path):
            raise OSError(28, "No space left on device")
        flush(path)

    monkeypatch.setattr(atomic, "_flush", flush_until_full)
    if full == "metrics.jsonl":
        opened = type(tmp_path).open

        def no_room(path, mode="r", *rest, **more):
            if path.name == full and "a" in mode:
                raise OSError(28, "No space left on device")
            return opened(path, mode, *rest, **more)

        monkeypatch.setattr(type(tmp_path), "open", no_room)
    out = tmp_path / "p.safetensors"
    words = ("--max-steps", 2, "--batch-size", 4, "--checkpoint-every", 1, "--quiet")
    run = patch(out, *words)
    assert run.returncode == 1
    assert run.stderr.count("Error:") == 1
    assert "No space left on device" in run.stderr
    assert full in run.stderr
    assert not out.exists()
    assert not [path for path in tmp_path.rglob(".*") if path.name != ".rtd-files.json"]
    monkeypatch.undo()
    more = ("--resume",) if list(tmp_path.rglob("state.json")) else ()
    assert patch(out, *words, *more).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize(
    ("number", "advice"), [(errno.ENOSPC, "The file system refused"), (errno.EPERM, "not foreseen")]
)
def test_what_the_file_system_refuses_is_no_defect_of_rtd(number, advice, capsys, monkeypatch):
    @click.command()
    def write():
        raise OSError(number, os.strerror(number), "place")

    monkeypatch.setitem(cli.cli.commands, "write", write)
    with pytest.raises(SystemExit) as exit_:
        cli.main(["write"])
    said = capsys.readouterr().err
    assert exit_.value.code == 1
    assert os.strerror(number) in said
    assert advice in said
