"""Temporary names and locks: whose they are, how long they get, and which are swept."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from rtd_adapters.errors import FileError
from rtd_adapters.io.atomic import require_writable, sweep, whole_file, whole_folder
from rtd_adapters.io.locks import claimed
from rtd_adapters.io.names import stem

DEAD = 2**22 + 1
"""No process has this number: Linux counts to 2**22."""


def left(folder, name, host, pid):
    path = folder / f".{name}.{host}-{pid}-abc.part"
    path.write_text("x")
    return path


def host():
    return "".join(sign for sign in socket.gethostname() if sign.isalnum())[:32]


def test_a_temporary_name_says_whose_it_is(tmp_path, monkeypatch):
    with whole_file(tmp_path / "weights") as temporary:
        assert temporary.name.startswith(f".weights.{host()}-{os.getpid()}-")
        assert temporary.suffix == ".part"
        temporary.write_text("x")
    monkeypatch.setattr(socket, "gethostname", lambda: "-.-")
    with whole_file(tmp_path / "weights") as temporary:
        assert temporary.name.startswith(f".weights.here-{os.getpid()}-")
        temporary.write_text("x")


def test_only_what_dead_processes_of_this_machine_left_is_swept(tmp_path):
    gone = left(tmp_path, "weights", host(), DEAD)
    stays = [
        left(tmp_path, "weights", host(), os.getpid()),
        left(tmp_path, "weights", "elsewhere", DEAD),
        left(tmp_path, "weights", host(), "nobody"),
        left(tmp_path, "weights2", host(), DEAD),
        left(tmp_path, "w", host(), DEAD),
    ]
    folder = tmp_path / f".weights.{host()}-{DEAD}-abcd.part"
    (folder / "deep").mkdir(parents=True)
    sweep(tmp_path / "weights")
    assert not gone.exists()
    assert not folder.exists()
    assert sorted(tmp_path.iterdir()) == sorted(stays)


def test_leftovers_that_cannot_be_removed_stop_nobody(tmp_path, monkeypatch):
    """As when another run sweeps the same folder at the same time."""
    folder = tmp_path / f".weights.{host()}-{DEAD}-abcd.part"
    folder.mkdir()

    def refuse(*place, **more):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "rmdir", refuse)
    sweep(tmp_path / "weights")
    assert folder.exists()


def test_names_grow_no_longer_than_120_bytes():
    assert stem("n" * 120) == "n" * 120
    long = stem("n" * 121)
    assert (len(long), long[:103], long[103]) == (120, "n" * 103, "-")


@pytest.mark.parametrize("name", ["a*", "a?", "a[b]", "[", "*"])
def test_a_name_that_reads_as_a_pattern_is_itself_alone(name, tmp_path):
    own, other = (left(tmp_path, n, host(), DEAD) for n in (name, "ab"))
    sweep(tmp_path / name)
    assert not own.exists()
    assert other.exists()


@pytest.mark.parametrize("name", ["x" * 255, "\u00e9" * 127, "\u20ac" * 85])
def test_the_longest_names_can_be_written_and_claimed(name, tmp_path):
    require_writable(tmp_path / name, overwrite=False)
    with claimed(tmp_path / name):
        assert len(list(tmp_path.iterdir())) == 2
        with whole_file(tmp_path / name) as temporary:
            temporary.write_text("x")
    with claimed(tmp_path / name[:50]), whole_folder(tmp_path / name[:50]) as temporary:
        (temporary / "file").write_text("x")
    assert len(list(tmp_path.iterdir())) == 2


def test_folders_get_their_modes_too(tmp_path):
    before = os.umask(0o077)
    try:
        with whole_folder(tmp_path / "run") as temporary:
            (temporary / "inner").mkdir()
    finally:
        os.umask(before)
    modes = [path.stat().st_mode & 0o777 for path in (tmp_path / "run", tmp_path / "run" / "inner")]
    assert modes == [0o755, 0o755]


def test_missing_folders_are_made_and_a_file_in_their_place_is_named(tmp_path):
    with whole_file(tmp_path / "a" / "b" / "file") as temporary:
        temporary.write_text("x")
    with whole_folder(tmp_path / "c" / "d" / "run") as temporary:
        (temporary / "file").write_text("x")
    require_writable(tmp_path / "e" / "f" / "file", overwrite=False)
    assert not (tmp_path / "e").exists()
    below = tmp_path / "a" / "b" / "file" / "further"
    for writer in (whole_file, whole_folder):
        with pytest.raises(FileError, match="cannot be written"), writer(below):
            pass


def test_a_folder_is_replaced_where_names_cannot_change_places(tmp_path, monkeypatch):
    for content in ("old", "new"):
        with whole_folder(tmp_path / "run") as temporary:
            (temporary / content).write_text(content)
            monkeypatch.setattr(sys, "platform", "darwin")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [".rtd-files.json", "new"]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
