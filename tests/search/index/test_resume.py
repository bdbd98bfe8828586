"""Runs that are killed, or whose disk is full, go on where they were."""

import signal
import subprocess
import sys

import numpy as np
import pytest
from noise_pictures import draw_noise

pytest.importorskip("lancedb", reason="the extra `search` is not installed")

from rtd_adapters.errors import FileError
from rtd_adapters.jobs.index import IndexJob, run_index
from rtd_adapters.search.index import Index
from rtd_adapters.search.index.building import Looking

COUNT = 60
DIES = """
import os, signal, sys
from pathlib import Path
from rtd_adapters.jobs.index import IndexJob, run_index
from rtd_adapters.search.index import building, lance
from rtd_adapters.search.index.building import Looking

building.MOST_HELD = 8
calls = 0

def dies(method, when):
    def dying(self, *arguments):
        global calls
        calls += 1
        if calls == when:
            os.kill(os.getpid(), signal.SIGKILL)
        done = method(self, *arguments)
        if calls + 1 == -when:
            os.kill(os.getpid(), signal.SIGKILL)
        return done
    return dying

name, when = sys.argv[3], int(sys.argv[4])
setattr(lance.LanceStore, name, dies(getattr(lance.LanceStore, name), when))
run_index(IndexJob(sys.argv[1], Path(sys.argv[2]), backbone="demo", how=Looking(batch_size=8)))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed") / "pictures"
    draw_noise(folder, (f"{n:02}.jpg" for n in range(COUNT)))
    (folder / "03.jpg").write_bytes(b"broken")
    return folder


@pytest.fixture(scope="module")
def whole(folder):
    return contents(indexed(folder, folder.parent / "whole"))


def indexed(folder, out):
    run_index(IndexJob(str(folder), out, backbone="demo", how=Looking(batch_size=8)))
    return out


def contents(out):
    index = Index.open(out)
    ids = sorted(entry.id for entry in index.page(0, 1000))
    assert len(ids) == len(set(ids)) == index.card.count == COUNT - 1
    return ids, [index.thumbnail(id_) for id_ in ids], index.embeddings(ids)


def child(*arguments):
    command = [sys.executable, "-c", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_run_killed_again_and_again_comes_to_the_same_contents(folder, whole, tmp_path):
    """In the middle of writing, after a write, and before all is put in order."""
    out, before = tmp_path / "index", 0
    for method, when in (("put", 3), ("put", -4), ("settle", 1)):
        done = child(DIES, folder, out, method, when)
        assert done.returncode == -signal.SIGKILL, done.stderr
        kept = Index.open(out).card.count
        assert kept > before
        before = kept
    ids, thumbnails, embeddings = contents(indexed(folder, out))
    assert (ids, thumbnails) == whole[:2]
    # The broken picture is read again each time, and batches lie otherwise then.
    np.testing.assert_allclose(embeddings, whole[2], rtol=1e-5, atol=1e-5)


FULL = """
import resource, sys
from rtd_adapters.cli import main
from rtd_adapters.search.index import building, lance

building.MOST_HELD = 8
put, calls = lance.LanceStore.put, 0

def filling(self, rows):
    global calls
    calls += 1
    if calls == 3:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
    put(self, rows)

lance.LanceStore.put = filling
main(["index", sys.argv[1], "--out", sys.argv[2], "--backbone", "demo", "-q", "--batch-size", "8"])
"""


def test_a_full_disk_is_said_once_and_the_same_command_goes_on(folder, whole, tmp_path):
    """A limit on the size of files stands for the disk's end."""
    out = tmp_path / "index"

    done = child(FULL, folder, out)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.count("Error:") == 1
    assert "File too large" in done.stderr
    assert "free some space, and run the same command again" in done.stderr
    assert Index.open(out).card.count > 0
    assert contents(indexed(folder, out))[:2] == whole[:2]


def test_another_run_is_kept_out(folder, tmp_path):
    from rtd_adapters.io.locks import claimed

    with claimed(tmp_path / "index"), pytest.raises(FileError, match="written by another run"):
        indexed(folder, tmp_path / "index")
