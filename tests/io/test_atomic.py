"""Files are written whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rtd_adapters.errors import FileError
from rtd_adapters.io import atomic
from rtd_adapters.io.atomic import (
    require_new_folder,
    require_writable,
    whole_file,
    whole_folder,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "weights"
    path.write_text("old")
    with pytest.raises(RuntimeError), whole_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("killed")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_mode_is_0644_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        with whole_file(tmp_path / "file") as temporary:
            temporary.write_text("x")
        with whole_folder(tmp_path / "folder") as temporary:
            (temporary / "inside").write_text("x")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "folder" / "inside").stat().st_mode & 0o777 == 0o644


def test_a_folder_takes_the_place_of_the_old_one_whole(tmp_path):
    path = tmp_path / "run"
    with whole_folder(path) as temporary:
        (temporary / "old").write_text("old")
    with whole_folder(path) as temporary:
        (temporary / "new").write_text("new")
    assert sorted(entry.name for entry in path.iterdir()) == [".rtd-files.json", "new"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("listed", [False, True])
def test_a_folder_with_anything_else_in_it_is_never_replaced(tmp_path, listed):
    path = tmp_path / "run"
    if listed:
        with whole_folder(path) as temporary:
            (temporary / "ours").write_text("ours")
    (path / "deep").mkdir(parents=True)
    (path / "deep" / "notes.txt").write_text("theirs")
    with pytest.raises(FileError, match=r"did not write \(deep/notes\.txt\)"):
        require_new_folder(path, overwrite=True)
    with pytest.raises(FileError, match=r"notes\.txt"), whole_folder(path) as temporary:
        (temporary / "new").write_text("new")
    assert (path / "deep" / "notes.txt").read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("exchanged", [True, False])
def test_a_folder_is_under_its_name_whenever_the_process_dies(tmp_path, monkeypatch, exchanged):
    """Renames are interrupted one after the other, as a kill would; the next run finds a whole
    folder."""
    path = tmp_path / "run"
    with whole_folder(path) as temporary:
        (temporary / "file").write_text("old")
    if not exchanged:
        monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)
    rename, calls = Path.rename, []

    def dies_at_the_second(self, target):
        calls.append(self)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", dies_at_the_second)
        patched.setattr(atomic.shutil, "rmtree", lambda *_, **__: None)
        try:
            with whole_folder(path) as temporary:
                (temporary / "file").write_text("new")
        except KeyboardInterrupt:
            assert not exchanged
    if exchanged:
        assert (path / "file").read_text() == "new"
    require_new_folder(path, overwrite=True)
    assert (path / "file").read_text() in ("old", "new")


def test_folders_are_flushed_to_disk_with_what_is_in_them(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(atomic, "_flush", lambda entry: flushed.append(entry.name))
    with whole_folder(tmp_path / "run") as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "file").write_text("x")
        name = temporary.name
    assert flushed == [".rtd-files.json", "file", "inner", name, tmp_path.name]


def test_through_a_symbolic_link_its_target_is_written(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    with whole_file(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_dangling_link_counts_as_something_that_is_there(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "gone")
    with pytest.raises(FileError, match="--overwrite"):
        require_writable(link, overwrite=False)
    link.unlink()
    link.symlink_to(link)
    with pytest.raises(FileError, match="leads nowhere"):
        require_writable(link, overwrite=True)


def test_pipes_and_devices_are_never_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/null")):
        with pytest.raises(FileError, match="a device or a pipe"):
            require_writable(path, overwrite=True)
        with pytest.raises(FileError, match="a device or a pipe"), whole_file(path):
            pass
    assert pipe.is_fifo()


def test_a_name_too_long_is_one_clear_error(tmp_path):
    path = tmp_path / ("x" * 300)
    with pytest.raises(FileError, match="cannot be written"):
        require_writable(path, overwrite=False)
    with whole_file(tmp_path / ("y" * 255)) as temporary:  # the longest that there can be
        temporary.write_text("x")


def test_what_a_dead_process_left_is_swept_and_a_living_ones_stays(tmp_path):
    path, code = (
        tmp_path / "weights",
        (
            "import os, sys, pathlib\n"
            "from rtd_adapters.io.atomic import whole_file, whole_folder\n"
            "with whole_file(pathlib.Path(sys.argv[1])), whole_folder(pathlib.Path(sys.argv[1])):\n"
            "    os.kill(os.getpid(), 9)\n"
        ),
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert len(list(tmp_path.iterdir())) == 2
    with whole_file(path) as living, whole_file(path) as other:
        assert living.exists()
        assert sorted(tmp_path.iterdir()) == sorted([living, other])
        other.write_text("x")
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_clear_error(tmp_path):
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    with pytest.raises(FileError, match="No space left"), whole_file(tmp_path / "x") as temporary:
        temporary.unlink()
        temporary.symlink_to("/dev/full")
        temporary.write_text("x" * 100_000)
    assert not (tmp_path / "x").exists()


def test_what_stands_in_the_way_is_named(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    with pytest.raises(FileError, match="--overwrite"):
        require_writable(path, overwrite=False)
    require_writable(path, overwrite=True)
    with pytest.raises(FileError, match="is a folder"):
        require_writable(tmp_path, overwrite=True)
    with pytest.raises(FileError, match="cannot be written"):
        require_writable(path / "below" / "a file", overwrite=False)


def test_kill_in_mid_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "weights"
    path.write_text("old")
    code = (
        "import sys, time, pathlib\n"
        "from rtd_adapters.io.atomic import whole_file\n"
        f"with whole_file(pathlib.Path({str(path)!r})) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    print('writing', flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.wait()
    time.sleep(0.01)
    assert path.read_text() == "old"


def test_a_folder_set_aside_comes_back_under_its_own_name_alone(tmp_path, monkeypatch):
    """Long names that begin alike have names of their own beside them."""
    first, second = tmp_path / ("n" * 200 + "1"), tmp_path / ("n" * 200 + "2")
    with whole_folder(first) as temporary:
        (temporary / "file").write_text("first")
    first.rename(atomic._aside(first))  # as a kill between two renames leaves it
    require_new_folder(second, overwrite=True)
    assert not second.exists()
    require_new_folder(first, overwrite=True)
    assert (first / "file").read_text() == "first"


@pytest.mark.parametrize("writer", ["safetensors", "torch", "numpy"])
@pytest.mark.parametrize("kind", ["whole_file", "whole_folder"])
def test_a_full_disk_is_told_whatever_error_a_writer_makes_of_it(writer, kind, tmp_path):
    """The system lets no file grow beyond 64 KiB, which writers see as they see a full disk."""
    writers = {
        "safetensors": "from safetensors.torch import save_file; save_file({'a': big}, at)",
        "torch": "torch.save(big, at)",
        "numpy": "import numpy; at.open('wb').write(big.numpy().tobytes())",
    }
    code = (
        "import resource, signal, sys, pathlib, torch\n"
        "from rtd_adapters.errors import FileError\n"
        f"from rtd_adapters.io.atomic import {kind} as whole\n"
        "big = torch.zeros(1 << 18)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))\n"
        "try:\n"
        "    with whole(pathlib.Path(sys.argv[1])) as at:\n"
        f"        at = at / 'inside' if {kind == 'whole_folder'} else at\n"
        f"        {writers[writer]}\n"
        "except FileError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out")], capture_output=True, text=True
    )
    assert f"{tmp_path / 'out'} was not written: File too large" in done.stdout, done.stderr
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_read_out_of_the_words_of_safetensors(tmp_path):
    words = "Error while serializing: I/O error: No room (os error 28)"
    message = "out was not written: No space left on device"
    with pytest.raises(FileError, match=message), whole_file(tmp_path / "out"):
        raise RuntimeError(words)


def test_an_error_of_the_system_without_a_number_is_said_in_its_own_words(tmp_path):
    message = "out was not written: gone away"
    with pytest.raises(FileError, match=message), whole_file(tmp_path / "out"):
        raise OSError("gone away")


def test_the_disk_is_asked_whether_it_is_full(tmp_path, monkeypatch):
    """torch's own error does not say it. The disk takes what was written and 1 MiB no more."""
    flush = os.fsync

    def full(handle):
        if os.fstat(handle).st_size == 1 << 20:
            raise OSError(28, "No space left on device")
        flush(handle)

    monkeypatch.setattr(os, "fsync", full)
    message = "out was not written: No space left on device"
    with pytest.raises(FileError, match=message), whole_file(tmp_path / "out"):
        raise RuntimeError("unexpected pos 704 vs 598")
    assert not list(tmp_path.iterdir())


def test_an_error_that_is_not_the_disks_stays_what_it_is(tmp_path):
    with pytest.raises(RuntimeError, match=r"^ours$"), whole_file(tmp_path / "out"):
        raise RuntimeError("ours")
