"""A run's folder: what counts as a checkpoint, what is deleted, and what its metrics hold."""

from __future__ import annotations

import json

import pytest

from rtd_adapters.errors import FileError
from rtd_adapters.training.metrics_file import MetricsFile
from rtd_adapters.training.run_folder import (
    begin_run,
    checkpoint_path,
    has_checkpoint,
    is_finished,
    keep_newest,
    list_checkpoints,
    mark_finished,
    remove_run,
)

FOREIGN = ("notes.txt", "step-by-step.md", "step-000000002/notes.txt", "deep/metrics.jsonl")


def write_checkpoint(folder, step):
    path = folder / f"step-{step:09d}"
    path.mkdir(parents=True)
    for name in ("state.json", "model.safetensors", "optimizer.safetensors", ".rtd-files.json"):
        (path / name).write_text(name)
    return path


def everything(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def folder(tmp_path):
    """A run's folder in which somebody keeps files of his own."""
    folder = tmp_path / "exp"
    write_checkpoint(folder, 1), write_checkpoint(folder, 2)
    MetricsFile(folder).append(1, {"loss": 1.0})
    mark_finished(folder, tmp_path / "w")
    for name in FOREIGN:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_foreign_files_stay_when_a_run_is_removed(folder):
    remove_run(folder)
    assert everything(folder) == sorted(FOREIGN)
    assert not has_checkpoint(folder)
    assert not is_finished(folder)


def test_a_folder_of_ours_alone_goes_whole(tmp_path):
    write_checkpoint(tmp_path / "run", 3)
    MetricsFile(tmp_path / "run").append(1, {"loss": 1.0})
    (tmp_path / "run" / "step-000000001").mkdir()  # of which a kill left the name
    remove_run(tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_has_an_exact_name_and_is_a_folder_with_a_record(tmp_path):
    write_checkpoint(tmp_path, 10**9), write_checkpoint(tmp_path, 7)
    for name in ("step-by-step.md", "step-000000009", "step-1"):
        (tmp_path / name).write_text("state.json")
    for name in ("step-000000008", "step-by-step"):
        (tmp_path / name).mkdir()
    (tmp_path / "step-by-step" / "state.json").write_text("{}")
    assert [p.name for p in list_checkpoints(tmp_path)] == ["step-000000007", "step-1000000000"]


def test_a_link_to_somebody_elses_folder_is_no_checkpoint(tmp_path):
    theirs = write_checkpoint(tmp_path / "theirs", 5)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "step-000000005").symlink_to(theirs)
    remove_run(tmp_path / "run")
    assert len(everything(theirs)) == 4


def test_metrics_of_somebody_else_are_refused_and_kept(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1}\n')
    for act in (remove_run, lambda folder: MetricsFile(folder).forget_after(1)):
        with pytest.raises(FileError, match="not a file that rtd wrote"):
            act(tmp_path)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"epoch": 1}\n'


def test_a_resumed_run_is_finished_no_longer(folder):
    begin_run(folder, resume=True)
    assert not is_finished(folder)
    assert has_checkpoint(folder)


def steps(folder):
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").open()]


def test_metrics_are_forgotten_by_the_step_in_the_line(tmp_path):
    metrics = MetricsFile(tmp_path)
    for step in (1, 2, 3, 1, 2, 3, 4):  # as runs that were started anew have left them
        metrics.append(step, {"loss": 0.5})
    metrics.forget_after(2)
    assert steps(tmp_path) == [1, 2, 1, 2]


def test_a_torn_last_line_is_dropped(tmp_path):
    metrics = MetricsFile(tmp_path)
    for step in (1, 2, 3):
        metrics.append(step, {"loss": 0.5})
    metrics.path.write_bytes(metrics.path.read_bytes()[:-3])
    metrics.forget_after(3)
    metrics.append(4, {"loss": 0.5})
    assert steps(tmp_path) == [1, 2, 4]


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    metrics = MetricsFile(tmp_path)
    metrics.append(1, {"loss": 0.5})
    before = metrics.path.read_bytes()
    wrapped = type(metrics.path).open

    class Full:
        """Takes half of what it is given."""

        def __init__(self, stream):
            self._stream = stream

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self._stream.close()

        def write(self, data):
            self._stream.write(data[:5])
            self._stream.flush()
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(metrics.path), "open", lambda *a, **k: Full(wrapped(*a, **k)))
    with pytest.raises(FileError, match=r"metrics\.jsonl cannot be written: No space"):
        metrics.append(2, {"loss": 0.5})
    monkeypatch.undo()
    assert metrics.path.read_bytes() == before


def test_what_a_killed_run_began_to_delete_goes_with_the_next_checkpoint(tmp_path):
    """A kill in the middle of deleting leaves a step without its record; another's is not ours."""
    for step in (1, 2, 3, 4):
        folder = checkpoint_path(tmp_path, step)
        folder.mkdir()
        for name in ("state.json", ".rtd-files.json", "model.safetensors"):
            (folder / name).write_text("{}")
    (checkpoint_path(tmp_path, 1) / "state.json").unlink()
    for name in ("state.json", ".rtd-files.json"):
        (checkpoint_path(tmp_path, 2) / name).unlink()
    keep_newest(tmp_path, 1)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "step-000000002",
        "step-000000004",
    ]
    assert [p.name for p in checkpoint_path(tmp_path, 2).iterdir()] == ["model.safetensors"]
