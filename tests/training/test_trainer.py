"""The loop: what it learns, what it keeps, when it stops."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch

from rtd_adapters.errors import FileError, TrainingError, UsageError
from rtd_adapters.patch import TextEncoderPatch
from rtd_adapters.patch.lora import LoRASettings
from rtd_adapters.training import FastEngine, ReferenceEngine, RunOptions, Trainer, TrainingSettings
from rtd_adapters.training.resume import list_checkpoints
from rtd_adapters.training.schedule import learning_rate


@pytest.fixture
def run(searle, toy_projection, toy_backbone, toy_triplets):
    """Trains a patch on the toy backbone; returns it and the run's record."""

    def run(kind="full", engine=ReferenceEngine, options=None, lora=None, **settings):
        settings = {"steps": 6, "batch_size": 8, "learning_rate": 1e-3} | settings
        settings["engine"] = "fast" if issubclass(engine, FastEngine) else "reference"
        patch = TextEncoderPatch.create(kind, toy_backbone, searle, lora=lora)
        trainer = Trainer(
            searle,
            toy_projection,
            toy_backbone,
            toy_triplets,
            TrainingSettings(**settings),
            options or RunOptions(quiet=True),
            engine,
        )
        return patch, patch.fit(trainer)

    return run


def same(one, other):
    first, second = one.state(), other.state()
    return all(torch.equal(first[name], second[name]) for name in first)


def test_the_loss_falls(run):
    _, record = run(steps=30)
    assert sum(record.losses[-5:]) < 0.8 * sum(record.losses[:5])


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_one_seed_one_result(run, kind):
    assert same(run(kind)[0], run(kind)[0])
    assert not same(run(kind)[0], run(kind, seed=1)[0])


def test_the_frozen_tower_and_the_projection_stay(run, toy_backbone, toy_projection):
    before = {**toy_backbone.tower.state_dict(), **toy_projection.state_dict()}
    before = {name: tensor.clone() for name, tensor in before.items()}
    run()
    after = {**toy_backbone.tower.state_dict(), **toy_projection.state_dict()}
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("engine", [FastEngine, ReferenceEngine])
@pytest.mark.parametrize("kind", ["full", "lora"])
def test_a_run_cut_at_a_checkpoint_resumes_to_the_same_bits(
    run, kind, engine, tmp_path, monkeypatch
):
    """Token rows, dropout and kept anchors included."""

    class Cut(engine):
        """Dies in the fifth step."""

        calls = 0

        def step(self, batch, backward):
            Cut.calls += 1
            if Cut.calls == 5:
                raise KeyboardInterrupt
            return super().step(batch, backward)

    def options(name, **further):
        monkeypatch.setenv("RTD_CACHE", str(tmp_path / name / "cache"))
        return RunOptions(
            folder=tmp_path / name,
            checkpoint_every=2,
            validate_every=1,
            select="anchor_recall@1",
            anchor_cache=engine is FastEngine,
            quiet=True,
            **further,
        )

    lora = LoRASettings(dropout=0.2)
    whole, _ = run(kind, engine, options("whole"), lora)
    with pytest.raises(KeyboardInterrupt):
        run(kind, Cut, options("cut"), lora)
    assert [path.name for path in list_checkpoints(tmp_path / "cut")] == [
        "step-000000002",
        "step-000000004",
    ]
    resumed, record = run(kind, engine, options("cut", resume=True), lora)
    assert len(record.losses) == 2
    assert same(whole, resumed)
    lines = (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5, 6]


def test_resuming_another_run_lists_what_differs(run, tmp_path):
    options = RunOptions(folder=tmp_path, checkpoint_every=2, quiet=True)
    run(options=options)
    with pytest.raises(TrainingError, match=r"noise_scale: 0\.5 there, 0\.1 here"):
        run(options=RunOptions(folder=tmp_path, resume=True, quiet=True), noise_scale=0.1)


def test_a_damaged_checkpoint_is_named(run, tmp_path):
    options = RunOptions(folder=tmp_path, checkpoint_every=2, quiet=True)
    run(options=options)
    newest = list_checkpoints(tmp_path)[-1]
    (newest / "model.safetensors").write_bytes(b"gone")
    with pytest.raises(FileError, match=rf"{newest.name} is damaged"):
        run(options=RunOptions(folder=tmp_path, resume=True, quiet=True))


@pytest.mark.parametrize("place", ["newest", "all"])
@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.safetensors", "best.safetensors", "state.json"]
)
def test_one_flipped_bit_is_never_resumed_from(run, tmp_path, name, place):
    options = RunOptions(
        folder=tmp_path, checkpoint_every=2, validate_every=1, select="anchor_recall@1", quiet=True
    )
    run(options=options)
    older, newest = list_checkpoints(tmp_path)
    if place == "all":
        shutil.rmtree(older)
    content = bytearray((newest / name).read_bytes())
    content[content.index(b"0.") if name == "state.json" else -2] ^= 1
    (newest / name).write_bytes(content)
    advice = f"Delete {newest} and resume again: the run goes on from {older.name}"
    expected = advice if place == "newest" else "start anew with --overwrite"
    with pytest.raises(FileError, match=rf"{newest.name} is damaged.*{expected}"):
        run(options=replace(options, resume=True))
    if place == "newest":
        shutil.rmtree(newest)
        assert len(run(options=replace(options, resume=True))[1].losses) == 4


def test_resuming_nothing(run, tmp_path):
    with pytest.raises(TrainingError, match="no checkpoint in"):
        run(options=RunOptions(folder=tmp_path, resume=True, quiet=True))


def test_a_loss_that_is_not_a_number_stops_the_run(run, tmp_path):
    class Broken(ReferenceEngine):
        calls = 0

        def step(self, batch, backward):
            Broken.calls += 1
            loss = super().step(batch, backward)
            return loss * float("nan") if Broken.calls == 4 else loss

    options = RunOptions(folder=tmp_path, checkpoint_every=1, quiet=True)
    with pytest.raises(TrainingError, match=r"became nan at step 4.*step-000000003"):
        run(engine=Broken, options=options)


def test_a_loss_that_nobody_kept_is_read_one_step_late(run):
    class Broken(ReferenceEngine):
        calls = 0

        def step(self, batch, backward):
            Broken.calls += 1
            loss = super().step(batch, backward)
            return loss * float("inf") if Broken.calls == 4 else loss

    with pytest.raises(TrainingError, match=r"became inf at step 4\. No checkpoint"):
        run(engine=Broken)
    assert Broken.calls == 5
    Broken.calls = 0
    with pytest.raises(TrainingError, match="became inf at step 4"):
        run(engine=Broken, steps=4)


def test_figures_are_never_taken_of_a_step_whose_loss_is_unread(run):
    class Broken(ReferenceEngine):
        def step(self, batch, backward):
            return super().step(batch, backward) * float("nan")

    def validated(*_):
        raise AssertionError("a tower was judged")

    options = RunOptions(validate_every=1, quiet=True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("rtd_adapters.training.validation.HeldOut.figures", validated)
        with pytest.raises(TrainingError, match="became nan at step 1"):
            run(engine=Broken, options=options)


def test_checkpoints_by_time_resume_to_the_same_bits(run, tmp_path, monkeypatch):
    """A clock on which every step takes two minutes and writing none: one checkpoint in three
    steps at five minutes."""
    from rtd_adapters.training import intervals

    class Slow(FastEngine):
        now, cut = 0.0, None

        def step(self, batch, backward):
            Slow.now += 120
            if Slow.now == Slow.cut:
                raise KeyboardInterrupt
            return super().step(batch, backward)

    monkeypatch.setattr(intervals.time, "monotonic", lambda: Slow.now)
    options = RunOptions(folder=tmp_path, checkpoint_minutes=5, quiet=True)
    whole, _ = run(engine=Slow, steps=9, options=replace(options, folder=None))
    Slow.now, Slow.cut = 0.0, 120 * 8
    with pytest.raises(KeyboardInterrupt):
        run(engine=Slow, steps=9, options=options)
    assert [path.name for path in list_checkpoints(tmp_path)] == [
        "step-000000003",
        "step-000000006",
    ]
    Slow.cut = None
    resumed, record = run(engine=Slow, steps=9, options=replace(options, resume=True))
    assert len(record.losses) == 3
    assert same(whole, resumed)


def test_a_tensor_without_gradient_stops_the_run(run):
    class Forgetful(ReferenceEngine):
        def step(self, batch, backward):
            loss = super().step(batch, backward)
            self._towers.student.ln_final.bias.grad = None
            return loss

    with pytest.raises(
        TrainingError, match=r"1 trained tensors received no gradient.*ln_final\.bias"
    ):
        run(engine=Forgetful)


def test_the_best_validation_is_kept_when_asked(run):
    options = RunOptions(validate_every=1, validate_on=30, select="anchor_recall@1", quiet=True)
    patch, record = run(options=options, steps=8, learning_rate=5e-2)
    values = [entry["anchor_recall@1"] for entry in record.validations]
    assert record.selected_step == 1 + values.index(max(values))
    last, _ = run(steps=8, learning_rate=5e-2)
    assert same(patch, last) == (record.selected_step == 8)


def test_selecting_an_unknown_metric(run):
    with pytest.raises(TrainingError, match=r"--select recall@7.*anchor_recall@1"):
        run(options=RunOptions(validate_every=1, select="recall@7", quiet=True))


def test_accumulated_batches_average_their_gradients(run):
    class Watching(ReferenceEngine):
        """Notes what has gathered in one gradient after each batch, and the batch's own part."""

        gathered, own = [], []

        def step(self, batch, backward):
            bias = self._towers.student.ln_final.bias
            alone = torch.autograd.grad(self.loss(batch), bias)[0]
            loss = super().step(batch, backward)
            Watching.own.append(alone)
            Watching.gathered.append(bias.grad.clone())
            return loss

    run(engine=Watching, steps=1, gradient_accumulation=2)
    first, second = Watching.own
    assert not torch.allclose(first, second)
    assert torch.allclose(Watching.gathered[1], (first + second) / 2, atol=1e-7)


def test_a_tracker_gets_the_loss(run, tmp_path):
    pytest.importorskip("tensorboard")
    run(options=RunOptions(folder=tmp_path, tracker="tensorboard", quiet=True))
    assert list(tmp_path.rglob("events.out.tfevents*"))


@pytest.mark.parametrize("tracker", ["nosuch", "wandb", "tensorboard"])
def test_a_tracker_that_would_log_nothing_is_refused(tracker, run, monkeypatch):
    """An unknown one, one whose package is not there, and one without a folder to write in."""
    from accelerate import tracking

    there = [tracking.LoggerType.TENSORBOARD]
    monkeypatch.setattr(tracking, "get_available_trackers", lambda: there)
    words = {
        "nosuch": r"Unknown tracker 'nosuch'.*mlflow.*wandb",
        "wandb": r"not installed: pip install wandb\. Installed: tensorboard",
        "tensorboard": "name one",
    }
    with pytest.raises(UsageError, match=words[tracker]):
        run(options=RunOptions(tracker=tracker, quiet=True))


def test_metrics_of_every_step_and_validations_when_due(run, tmp_path):
    options = RunOptions(folder=tmp_path, validate_every=2, checkpoint_every=1, quiet=True)
    _, record = run(options=options, steps=5, warmup_steps=2, learning_rate=1e-3)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines] == record.losses
    rates = [0.5e-3, 1e-3, 1e-3, 1e-3, 1e-3]
    assert [line["learning_rate"] for line in lines] == pytest.approx(rates)
    assert [line["step"] for line in lines if "anchor_recall@1" in line] == [2, 4]
    assert [entry["step"] for entry in record.validations] == [2, 4]
    assert len(record.step_seconds) == 5
    assert record.selected_step is None
    # The last step needs none: the run is done then. Of the others the newest two are kept.
    assert [path.name for path in list_checkpoints(tmp_path)] == [
        "step-000000003",
        "step-000000004",
    ]


def test_the_loss_of_a_step_is_the_mean_over_its_batches(run):
    losses = []

    class Watching(ReferenceEngine):
        def step(self, batch, backward):
            losses.append(super().step(batch, backward))
            return losses[-1]

    _, record = run(engine=Watching, steps=2, gradient_accumulation=3)
    by_hand = torch.stack(losses).view(2, 3).mean(1).tolist()
    assert record.losses == pytest.approx(by_hand)


@pytest.mark.parametrize("engine", [FastEngine, ReferenceEngine])
def test_gradients_are_clipped_to_the_norm(run, engine):
    """A gradient clipped to nothing moves nothing but what weight decay does."""

    def moved(norm):
        patch, _ = run(engine=engine, steps=1, max_grad_norm=norm, weight_decay=0.0)
        return (patch.state()["ln_final.bias"] - patch.base.state_dict()["ln_final.bias"]).norm()

    # AdamW's first step is the gradient's sign, unless its epsilon outweighs the gradient.
    assert moved(1e-12) < 1e-3 * moved(None)
    assert moved(1e6) == pytest.approx(moved(None).item(), rel=1e-4)


def test_texts_that_were_cut_or_cleaned_are_counted(searle, toy_projection, toy_backbone):
    from rtd_adapters.triplets import Triplet

    rows = [Triplet(f"a $ dog {n}", "is red", "word " * 40) for n in range(16)]
    trainer = Trainer(
        searle,
        toy_projection,
        toy_backbone,
        rows,
        TrainingSettings(steps=1, batch_size=4),
        RunOptions(quiet=True),
    )
    record = TextEncoderPatch.create("full", toy_backbone, searle).fit(trainer)
    assert record.texts_cut > 0
    assert record.texts_cleaned == 4


@pytest.mark.parametrize(("step", "expected"), [(0, 0.25), (3, 1.0), (4, 1.0), (8, 0.5), (12, 0.0)])
def test_cosine_after_warm_up(step, expected):
    settings = TrainingSettings(steps=12, warmup_steps=4, schedule="cosine", learning_rate=1.0)
    assert learning_rate(settings, step) == pytest.approx(expected)


def test_the_published_recipe_is_the_default():
    recipe = TrainingSettings()
    assert (recipe.learning_rate, recipe.batch_size, recipe.steps) == (1e-5, 128, 2000)
    assert (recipe.weight_decay, recipe.temperature, recipe.noise_scale) == (0.01, 0.07, 0.5)
    assert learning_rate(recipe, 0) == learning_rate(recipe, 1999) == 1e-5


@pytest.mark.parametrize(
    ("wrong", "option"),
    [
        ({"batch_size": 0}, "--batch-size"),
        ({"steps": -1}, "--max-steps"),
        ({"temperature": 0.0}, "--temperature"),
        ({"learning_rate": float("nan")}, "--lr"),
    ],
)
def test_impossible_settings(wrong, option):
    with pytest.raises(UsageError, match=f"^{option} is "):
        TrainingSettings(**wrong)


def test_a_resumed_run_drops_out_what_the_whole_run_did(
    searle, toy_projection, toy_backbone, toy_triplets, tmp_path
):
    """Dropout is drawn from each batch's own seed, so a resume needs no random state."""
    settings = TrainingSettings(steps=4, batch_size=8, learning_rate=1e-3)

    def train(folder, resume=False, dropout=0.3):
        patch = TextEncoderPatch.create(
            "lora", toy_backbone, searle, lora=LoRASettings(dropout=dropout)
        )
        options = RunOptions(folder=folder, checkpoint_every=2, resume=resume, quiet=True)
        patch.fit(Trainer(searle, toy_projection, toy_backbone, toy_triplets, settings, options))
        return patch

    whole = train(tmp_path)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-000000002"]
    assert same(whole, train(tmp_path, resume=True))
    assert not same(whole, train(tmp_path / "none", dropout=0.0))
