"""`rtd eval` in two processes that torchrun would start: the first writes what one alone writes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from ranks import ranks

COMMAND = (sys.executable, "-m", "rtd_adapters", "eval", "--method", "searle", "--batch-size", "48")


def start(folder, count, *more):
    """The processes, each with a cache and a folder of its own."""
    started = []
    for rank, place in enumerate(ranks(count)):
        own = folder / f"{rank}-of-{count}"
        own.mkdir()
        environment = place | {"RTD_CACHE": str(own / "cache"), "OMP_NUM_THREADS": "1"}
        started.append(
            subprocess.Popen(
                [*COMMAND, "--out", "out", *more],
                cwd=own,
                env=os.environ | environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    said = [process.communicate(timeout=240) for process in started]
    return [(process.returncode, *own) for process, own in zip(started, said, strict=True)]


def files(folder):
    """Content of every file below a folder, by its path there."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.mark.slow
def test_two_write_what_one_writes_byte_for_byte(tmp_path):
    ((code, printed, said),) = start(tmp_path, 1)
    assert code == 0, said
    first, second = start(tmp_path, 2)
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert first[1] == printed
    assert second[1] == ""
    alone = files(tmp_path / "0-of-1")
    assert {path.rpartition(".")[2] for path in alone} == {"safetensors", "json", "jpg", "yaml"}
    assert files(tmp_path / "0-of-2") == alone
    assert not any((tmp_path / "1-of-2").iterdir())


@pytest.mark.slow
def test_a_device_that_is_not_there_ends_with_2(tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    ((code, printed, said),) = start(tmp_path, 1, "--device", "cuda")
    assert code == 2
    assert said.startswith("Error: --device cuda: torch ")
    assert printed == ""
    assert not (tmp_path / "0-of-1" / "out").exists()
