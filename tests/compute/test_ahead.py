"""Values worked out ahead: the same, in order, and no process outlives its starter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial

import psutil
import pytest
from toy_ahead import dies, large, squared

from rtd_adapters.compute import ahead as module
from rtd_adapters.compute.ahead import Ahead
from rtd_adapters.errors import TrainingError, UsageError


def never(number):
    raise AssertionError("worked out here")


def plain(value):
    return value


@pytest.mark.parametrize(("first", "workers"), [(0, 1), (5, 1), (0, 3), (4, 3)])
def test_values_come_from_workers_in_order(first, workers):
    with Ahead(never, lambda: squared, 13, workers, lambda v: v + 1, patience=60) as ahead:
        assert [ahead(n) for n in range(first, 13)] == [n * n + 1 for n in range(first, 13)]
        assert ahead.taken == 13 - first


def test_this_process_goes_on_alone_while_workers_start():
    with Ahead(squared, lambda: squared, 10**6, 2, plain) as ahead:
        number = 20
        while ahead.taken < 5:
            assert ahead(number) == number * number
            number += 1
            time.sleep(0.001)
            assert number < 20_000
    assert number > 26  # some were worked out here


def test_what_a_worker_raises_is_raised_at_its_number():
    with Ahead(never, lambda: squared, 20, 1, plain, patience=60) as ahead:
        assert [ahead(n) for n in range(10, 13)] == [100, 121, 144]
        time.sleep(0.2)
        with pytest.raises(ValueError, match="thirteen") as raised:
            ahead(13)
    assert "Traceback" in str(raised.value.__cause__)


def test_a_dead_worker_is_an_error_that_says_so():
    with (
        pytest.raises(TrainingError, match=r"exit code 7\) before batch 3. It said: out of sorts"),
        Ahead(never, lambda: dies, 9, 1, plain, patience=60) as ahead,
    ):
        [ahead(n) for n in range(9)]


def test_a_killed_worker_too(tmp_path):
    there = partial(large, str(tmp_path))
    with Ahead(never, lambda: there, 90, 1, len, patience=60) as ahead:
        ahead(0)
        os.kill(ahead._workers[0]._process.pid, signal.SIGKILL)
        with pytest.raises(TrainingError, match=r"SIGKILL.*--prefetch 0"):
            [ahead(n) for n in range(1, 90)]


def test_how_far_a_worker_is_ahead_is_bounded_and_nothing_is_left_of_it(tmp_path):
    there = partial(large, str(tmp_path))
    with Ahead(never, lambda: there, 1000, 1, len, patience=60) as ahead:
        assert [ahead(n) for n in range(5)] == [1 << 20] * 5
        time.sleep(0.3)
        assert 5 <= len(list(tmp_path.iterdir())) <= 9
        worker = psutil.Process(ahead._workers[0]._process.pid)
    assert not worker.is_running()


def test_a_worker_ends_with_a_starter_that_is_killed(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    begin = "import sys; from toy_ahead import start_and_be_killed as s"
    command = [sys.executable, "-c", f"{begin}; s(sys.argv[1])", tmp_path]
    found = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert found.returncode == -signal.SIGKILL, found.stderr
    left = int(found.stdout)
    ended = time.monotonic() + 10
    while psutil.pid_exists(left) and psutil.Process(left).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < ended
        time.sleep(0.02)


def test_ctrl_c_does_not_reach_a_worker():
    with Ahead(never, lambda: squared, 13, 1, plain, patience=60) as ahead:
        ahead(0)
        pid = ahead._workers[0]._process.pid
        assert os.getpgid(pid) != os.getpgid(0)


def test_what_cannot_be_sent_is_worked_out_here_unless_workers_were_asked_for(monkeypatch):
    monkeypatch.setattr(module, "START", 0)
    monkeypatch.setattr(module, "SHARE", 0)
    with Ahead(squared, lambda: lambda n: n, 13, None, plain) as ahead:
        assert [ahead(n) for n in range(13)] == [n * n for n in range(13)]
        assert not ahead._workers
    with (
        pytest.raises(UsageError, match=r"cannot be sent to another process.*--prefetch 0"),
        Ahead(squared, lambda: lambda n: n, 13, 1, plain) as ahead,
    ):
        ahead(0)


def test_what_a_script_defines_itself_is_not_found_there(monkeypatch):
    monkeypatch.setattr(squared, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "squared", squared, raising=False)
    with (
        pytest.raises(UsageError, match=r"cannot read what a batch needs.*'squared'"),
        Ahead(squared, lambda: squared, 13, 1, plain, patience=60) as ahead,
    ):
        ahead(0)


def slow(number):
    time.sleep(0.01)
    return number


def test_by_default_a_worker_starts_when_it_pays(monkeypatch):
    monkeypatch.setattr(module, "_cores", lambda: 2)
    with Ahead(slow, lambda: squared, 100, None, plain, patience=60) as ahead:
        assert [ahead(n) for n in range(20)] == list(range(20))
        assert not ahead._workers  # a second is not worth it
    with Ahead(slow, lambda: squared, 10**6, None, plain, patience=60) as ahead:
        assert [ahead(n) for n in range(8)] == [0, 1, 2, 3, 16, 25, 36, 49]
        assert ahead.taken == 4
    with Ahead(slow, lambda: squared, 10**6, None, plain, patience=60) as ahead:
        for number in range(8):
            ahead(number)
            time.sleep(0.3)  # the step
        assert not ahead._workers  # a thirtieth of the time is not worth it either
    monkeypatch.setattr(module, "_cores", lambda: 1)
    with Ahead(slow, lambda: squared, 10**6, None, plain, patience=60) as ahead:
        assert [ahead(n) for n in range(8)] == list(range(8))
