"""How many runs go at once, and where: by what is free, in plain numbers."""

from __future__ import annotations

import psutil
import pytest
import torch

from rtd_adapters.jobs import memory, slots
from rtd_adapters.jobs.memory import free_mb
from rtd_adapters.jobs.slots import Need, shared_out


@pytest.fixture
def machine(monkeypatch):
    """A machine of 10 GB free memory and eight threads; says what was said."""
    said = []
    monkeypatch.setattr(slots, "free_mb", lambda: 10_000.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return lambda jobs, need: (shared_out(jobs, need, said.append), said)


def test_memory_bounds_how_many_and_threads_are_shared_out(machine):
    takes = "each takes up to 2.5 GB of memory, of which 10.0 GB are free"  # 1.25 x 2 GB
    found, said = machine(3, Need(2000))
    assert found == [{"OMP_NUM_THREADS": "2"}] * 3
    assert said.pop() == f"3 at once: {takes}"
    found, said = machine(5, Need(2000))
    assert found == [{"OMP_NUM_THREADS": "2"}] * 4
    assert said == [f"4 at once, not 5: {takes}"]


def test_one_goes_in_any_case(machine):
    found, said = machine(2, Need(20_000))
    assert found == [{"OMP_NUM_THREADS": "8"}]
    assert said[0].startswith("1 at once, not 2: each takes up to 25.0 GB of memory")


def test_threads_that_are_given_stay(machine, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert machine(2, Need(100))[0] == [{}, {}]


def gpus(found):
    return [environment["CUDA_VISIBLE_DEVICES"] for environment in found]


def test_gpus_take_turns_as_far_as_their_memory_does(machine, monkeypatch):
    need = Need(100, 8000, (24_000, 9000, 40_000))  # 10 GB each: two, none, four
    found, said = machine(5, need)
    assert gpus(found) == ["0", "2", "0", "2", "2"]
    found, said = machine(9, need)
    assert gpus(found) == ["0", "2", "0", "2", "2", "2"]
    assert said[-1] == (
        "6 at once, not 9: each takes up to 0.1 GB of memory, of which 10.0 GB are free, and "
        "10.0 GB of a GPU, of which 24.0 GB, 9.0 GB, 40.0 GB are"
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-1a,7")
    assert gpus(machine(2, need)[0]) == ["5", "7"]


def test_without_room_on_any_gpu_one_goes_where_it_would(machine):
    assert machine(2, Need(100, 8000, (4000,)))[0] == [{"OMP_NUM_THREADS": "8"}]


@pytest.mark.parametrize(
    ("limit", "free"), [("3000000000", 2.5), ("max", 50.0), ("900000000000", 50.0), ("1", 0.0)]
)
@pytest.mark.parametrize("kind", [0, 1])
def test_a_container_has_its_own_limit(kind, limit, free, tmp_path, monkeypatch):
    """3 GB less 700 MB in use, of which 200 MB are given back."""
    _, *names = memory.CGROUPS[kind]
    texts = (limit, "700000000\n", f"active_file 5\n{names[2]} 200000000\n")
    for name, text in zip((*names[:2], "memory.stat"), texts, strict=True):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "CGROUPS", ((str(tmp_path), *names),))
    whole = psutil.virtual_memory()._replace(available=50_000_000_000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: whole)
    assert free_mb() == pytest.approx(1000 * free)
