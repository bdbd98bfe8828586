"""Work in processes of its own: what a plain loop finds, and nobody left when something ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import toy_work as toy

from rtd_adapters.compute.at_once import at_once
from rtd_adapters.errors import FileError, MissingFilesError, TrainingError


def files(folder):
    """What each process has written."""
    return {int(path.name): path.read_text() for path in folder.iterdir()}


def wait_until(what):
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def gone(pids):
    """Whether none of them runs; one that has ended may wait for its parent."""
    alive = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    return all(process.status() == psutil.STATUS_ZOMBIE for process in alive)


def test_pieces_are_done_in_processes_of_their_own_no_more_at_once_than_slots():
    found, told = {}, []
    pieces = {f"of {n}": n for n in (3, 1, 2, 5)}
    at_once(toy.square, pieces, [{"SLOT": "a"}, {"SLOT": "b"}], found.__setitem__, told.append)
    assert {name: own[0] for name, own in found.items()} == {
        name: number**2 for name, number in pieces.items()
    }
    assert len({own[1] for own in found.values()} - {os.getpid()}) == 4
    assert {own[2] for own in found.values()} == {"a", "b"}
    assert "SLOT" not in os.environ
    spans = [own[3] for own in found.values()]
    running = [sum(began <= at < ended for began, ended in spans) for at, _ in spans]
    assert max(running) == 2
    assert sorted(told) == ["1 begun", "2 begun", "3 begun", "5 begun"]


@pytest.mark.parametrize(
    ("kind", "raised", "words"),
    [
        ("file", FileError, "x.pt is damaged. Fetch it again."),
        ("missing", MissingFilesError, "a, b are missing."),
        ("awkward", RuntimeError, "Awkward: 1 and 2"),
        ("killed", TrainingError, "second: its process has ended (SIGKILL) before it was done."),
    ],
)
def test_what_fails_ends_the_others_and_keeps_what_is_done(kind, raised, words, tmp_path):
    done = {}
    pieces = {
        "first": ("square", 2),
        "second": ("fail", f"{kind} {tmp_path}"),
        "third": ("wait", tmp_path),
        "never": ("wait", tmp_path),
    }
    with pytest.raises(raised) as error:
        at_once(toy.either, pieces, [{}, {}], done.__setitem__, print)
    assert str(error.value).startswith(words)
    if kind == "missing":
        assert error.value.missing == ("a", "b")
    assert list(done) == ["first"]
    assert list(files(tmp_path).values()) == ["tidied"]
    assert gone(files(tmp_path))


def test_where_it_failed_is_told_with_debug():
    with pytest.raises(FileError) as error:
        at_once(toy.fail, {"one": "file"}, [{}], print, print)
    assert 'raise FileError("x.pt is damaged' in str(error.value.__cause__)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nobody_is_left_when_the_starter_ends(number, tmp_path):
    starter = subprocess.Popen(
        [sys.executable, toy.__file__, tmp_path],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: list(files(tmp_path).values()) == ["at work"] * 2)
    if number == signal.SIGINT:  # as a terminal sends it: to all
        os.killpg(starter.pid, number)
    else:
        starter.send_signal(number)
    said = starter.communicate(timeout=30)[1]
    assert starter.returncode != 0
    wait_until(lambda: gone(files(tmp_path)))
    if number != signal.SIGKILL:
        assert list(files(tmp_path).values()) == ["tidied"] * 2
        assert said.count("Traceback") == 1  # its own
