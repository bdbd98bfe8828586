"""Unfinished runs: kept by a dry run, replaced when told to, and no hindrance to a sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtd_adapters.errors import FileError
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
