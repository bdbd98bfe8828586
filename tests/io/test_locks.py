"""One run at a time writes a place, and a dead one's lock is free."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import filelock
import pytest

from rtd_adapters.errors import FileError
from rtd_adapters.io.locks import claimed

HOLD = (
    "import pathlib, sys, time\n"
    "from rtd_adapters.io.locks import claimed\n"
    "with claimed(*map(pathlib.Path, sys.argv[1:])):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(60)\n"
)


@pytest.fixture
def holder(tmp_path):
    """Starts another process that holds places."""
    started = []

    def start(*places):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, *map(str, places)], stdout=subprocess.PIPE
        )
        started.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_the_other_run_is_named(tmp_path, holder):
    process = holder(tmp_path / "out", tmp_path / "run")
    for place in ("out", "run"):
        with pytest.raises(FileError) as caught, claimed(tmp_path / place):
            pass
        assert f"process {process.pid} on {socket.gethostname()}" in str(caught.value)


def test_nobody_waits_for_the_other_run(tmp_path, holder, monkeypatch):
    holder(tmp_path / "out")

    def wait(seconds):
        raise AssertionError("it waits")

    monkeypatch.setattr(time, "sleep", wait)
    with pytest.raises(FileError, match="another run"), claimed(tmp_path / "out"):
        pass


def test_a_killed_holders_lock_is_free_at_once(tmp_path, holder):
    process = holder(tmp_path / "out")
    process.kill()
    process.wait()
    with claimed(tmp_path / "out"):
        pass
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_and_other_places_are_free(tmp_path):
    with claimed(tmp_path / "a"), claimed(tmp_path / "b"):
        assert len(list(tmp_path.iterdir())) == 4
    assert not list(tmp_path.iterdir())


def test_files_that_somebody_cleared_away_do_not_stop_the_run(tmp_path):
    with claimed(tmp_path / "a"):
        for path in tmp_path.iterdir():
            path.unlink()
    assert not list(tmp_path.iterdir())


def test_one_place_by_two_names_is_one_place(tmp_path, holder):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    holder(tmp_path / "folder" / "out")
    with pytest.raises(FileError, match="another run"), claimed(tmp_path / "link" / "out"):
        pass


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileError, match="cannot be written"), claimed(tmp_path / "file" / "out"):
        pass


def test_no_room_to_say_who_holds_it_is_one_clear_error_and_lets_go(tmp_path, monkeypatch):
    def no_room(path, *text, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", no_room)
        message = "out cannot be written: No space"
        with pytest.raises(FileError, match=message), claimed(tmp_path / "out"):
            pass
    assert not list(tmp_path.iterdir())
    with claimed(tmp_path / "out"):
        pass


def test_a_process_holds_a_place_once(tmp_path):
    place = Path(os.path.relpath(tmp_path / "out"))
    with claimed(place, tmp_path / "out"):
        pass
    with claimed(place), pytest.raises(FileError), claimed(tmp_path / "out"):
        pass


def test_long_names_that_begin_alike_are_places_of_their_own(tmp_path):
    with claimed(tmp_path / ("n" * 250), tmp_path / ("n" * 250 + ".work")):
        pass


@pytest.mark.parametrize("moment", ["taken", "first removed", "second removed"])
def test_a_signal_between_two_steps_leaves_nothing(moment, tmp_path, monkeypatch):
    """Ctrl-C right after the lock was taken, and after either file was removed."""
    acquire, unlink, left = filelock.FileLock.acquire, Path.unlink, [moment]

    def interrupted_acquire(lock, *more, **options):
        acquire(lock, *more, **options)
        if moment == "taken":
            raise KeyboardInterrupt

    def interrupted_unlink(path, *more, **options):
        unlink(path, *more, **options)
        ending = {"first removed": ".holder", "second removed": ".lock"}.get(moment, "never")
        if left and path.name.endswith(ending):
            left.clear()
            raise KeyboardInterrupt

    monkeypatch.setattr(filelock.FileLock, "acquire", interrupted_acquire)
    monkeypatch.setattr(Path, "unlink", interrupted_unlink)
    with pytest.raises(KeyboardInterrupt), claimed(tmp_path / "out"):
        pass
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    with claimed(tmp_path / "out"):
        pass
