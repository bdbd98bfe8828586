"""Files are written whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from rtd_adapters.errors import FileError
from rtd_adapters.io.atomic import require_writable, whole_file, whole_folder


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
    path.mkdir()
    (path / "old").write_text("old")
    with whole_folder(path) as temporary:
        (temporary / "new").write_text("new")
    assert [entry.name for entry in path.iterdir()] == ["new"]
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
