"""Unfinished runs: kept by a dry run, replaced when told to, and no hindrance to a sweep."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rtd_adapters.errors import FileError, RtdError
from rtd_adapters.jobs.inputs import PatchJob
from rtd_adapters.jobs.patch import run_patch
from rtd_adapters.jobs.plan import plan_patch
from rtd_adapters.jobs.sweep import noise_changes, run_sweep
from rtd_adapters.training import RunOptions, TrainingSettings

FEW = TrainingSettings(steps=2, batch_size=8, learning_rate=5e-4)


@pytest.fixture
def job(tmp_path):
    """A job whose run folder holds a checkpoint."""
    job = PatchJob("searle", tmp_path / "p.safetensors", settings=FEW, overwrite=True)
    (job.run_folder / "step-000000001").mkdir(parents=True)
    (job.run_folder / "step-000000001" / "state.json").write_text("{}")
    return job


def test_a_dry_run_keeps_it_even_with_overwrite(job):
    assert plan_patch(job).trained > 0
    assert (job.run_folder / "step-000000001").is_dir()


def test_overwrite_starts_anew(job):
    assert len(run_patch(job).record.losses) == 2
    assert not job.run_folder.exists()


def test_without_overwrite_it_is_in_the_way(job):
    with pytest.raises(FileError, match="holds an unfinished run"):
        run_patch(PatchJob("searle", job.out, settings=FEW))
    assert job.run_folder.is_dir()


@pytest.mark.slow
def test_a_sweep_goes_on_where_it_was_killed_before_any_checkpoint(tmp_path):
    run = tmp_path / "noise-0.safetensors.run"
    run.mkdir()
    (run / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
    job = PatchJob("searle", Path("unused"), settings=FEW, options=RunOptions(quiet=True))
    (row,) = run_sweep(job, noise_changes([0.0]), tmp_path)
    assert row.after != row.before


@pytest.fixture
def kept(tmp_path):
    """A job with a run folder of the user's own, in which he keeps notes."""
    folder = tmp_path / "exp"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    options = RunOptions(folder=folder, checkpoint_every=1, quiet=True)
    return PatchJob("searle", tmp_path / "p.safetensors", settings=FEW, options=options)


def test_a_finished_run_is_called_so_and_replaced_when_told_to(kept):
    folder = kept.run_folder
    run_patch(kept)
    other = replace(kept, out=kept.out.with_name("q.safetensors"))
    with pytest.raises(FileError, match=r"holds a finished run .*--overwrite"):
        run_patch(other)
    run_patch(replace(kept, overwrite=True))
    assert (folder / "notes.txt").read_text() == "mine"
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == FEW.steps
    assert sorted(path.name for path in folder.iterdir()) == [
        "finished.json", "metrics.jsonl", "notes.txt", "step-000000001"
    ]  # fmt: skip


def test_nothing_is_deleted_before_the_inputs_are_good(kept):
    run_patch(kept)
    before = sorted(kept.run_folder.rglob("*"))
    for wrong in (
        {"triplets": kept.out.with_name("none.json")},
        {"projection": kept.out},
        {"settings": replace(FEW, batch_size=100_000)},
    ):
        with pytest.raises(RtdError):
            run_patch(replace(kept, overwrite=True, **wrong))
        assert sorted(kept.run_folder.rglob("*")) == before


def test_a_run_killed_before_its_first_checkpoint_begins_its_metrics_anew(kept):
    (kept.run_folder / "metrics.jsonl").write_text('{"step": 1, "loss": 9.0}\n{"step": 2, "lo')
    run_patch(kept)
    lines = (kept.run_folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]
