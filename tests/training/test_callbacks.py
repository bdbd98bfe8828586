"""What a run tells its callbacks, and that they change nothing of it."""

from __future__ import annotations

import json

import pytest
import torch

from rtd_adapters.patch import TextEncoderPatch
from rtd_adapters.training import RunOptions, TrainingSettings
from rtd_adapters.training.callbacks import Callback
from rtd_adapters.training.trainer import Trainer

SETTINGS = TrainingSettings(steps=5, batch_size=8, learning_rate=3e-3)


class Diary(Callback):
    """Writes down what it is told, and fails where it should."""

    def __init__(self, fails=None):
        self.told, self.fails = [], fails

    def note(self, *what):
        self.told.append(what)
        if what[:2] == self.fails:
            raise RuntimeError("enough")

    def begin(self, run):
        self.run = run
        self.note("begin", run.first_step, run.resumed)

    def validating(self, step):
        self.note("validating", step)

    def validation(self, step, figures):
        self.note("validation", step, dict(figures))
        with pytest.raises(TypeError):
            figures["mine"] = 1.0

    def step(self, step, metrics):
        self.note("step", step, dict(metrics))
        with pytest.raises(TypeError):
            metrics["loss"] = 0.0

    def save(self, step, folder):
        self.note("save", step, (folder / "state.json").parent.is_dir() and folder.name)

    def end(self, record):
        self.note("end", record.selected_step)
        self.last = {n: p.detach().clone() for n, p in self.run.model.named_parameters()}

    def close(self):
        self.note("close")


@pytest.fixture
def fit(searle, toy_projection, toy_backbone, toy_triplets):
    def run(**options):
        patch = TextEncoderPatch.create("full", toy_backbone, searle)
        options = RunOptions(quiet=True, device="cpu", **options)
        record = patch.fit(
            Trainer(searle, toy_projection, toy_backbone, toy_triplets, SETTINGS, options)
        )
        return patch, record

    return run


def test_what_is_told_and_in_which_order(fit, tmp_path):
    diary = Diary()
    _, record = fit(
        folder=tmp_path, checkpoint_every=2, validate_every=2, select="anchor_recall@1",
        callbacks=(diary,),
    )  # fmt: skip
    assert [what[:2] for what in diary.told] == [
        ("begin", 0), ("step", 1), ("validating", 2), ("validation", 2), ("step", 2), ("save", 2),
        ("step", 3), ("validating", 4), ("validation", 4), ("step", 4), ("save", 4), ("step", 5),
        ("end", record.selected_step), ("close",),
    ]  # fmt: skip
    told = [(what[1], what[2]) for what in diary.told if what[0] == "step"]
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [{"step": step, **metrics} for step, metrics in told] == list(map(json.loads, lines))
    assert [metrics["loss"] for _, metrics in told] == record.losses
    figures = [{"step": what[1], **what[2]} for what in diary.told if what[0] == "validation"]
    assert figures == record.validations
    assert [what[2] for what in diary.told if what[0] == "save"] == [
        "step-000000002", "step-000000004",
    ]  # fmt: skip


def test_at_the_end_the_model_is_what_the_run_gives(fit):
    diary = Diary()
    patch, record = fit(validate_every=1, select="anchor_recall@1", callbacks=(diary,))
    assert record.selected_step is not None
    for name, tensor in patch.student.named_parameters():
        assert torch.equal(tensor, diary.last[name]), name


def test_a_run_that_is_gone_on_with_says_from_where(fit, tmp_path):
    alone, _ = fit()
    diary = Diary(fails=("step", 3))
    with pytest.raises(RuntimeError, match="enough"):
        fit(folder=tmp_path, checkpoint_every=2, callbacks=(diary, later := Diary()))
    assert diary.told[-1] == later.told[-1] == ("close",)
    assert ("step", 3) not in [what[:2] for what in later.told]

    diary = Diary()
    patch, _ = fit(folder=tmp_path, resume=True, callbacks=(diary,))
    assert diary.told[0] == ("begin", 2, True)
    assert [what[1] for what in diary.told if what[0] == "step"] == [3, 4, 5]
    for name, tensor in alone.state().items():
        assert torch.equal(tensor, patch.state()[name]), name


def test_who_was_not_told_that_it_begins_is_not_told_that_it_is_over(fit):
    first, second, third = Diary(), Diary(fails=("begin", 0)), Diary()
    with pytest.raises(RuntimeError, match="enough"):
        fit(callbacks=(first, second, third))
    assert [what[0] for what in first.told] == ["begin", "close"]
    assert [what[0] for what in second.told] == ["begin"]
    assert third.told == []
