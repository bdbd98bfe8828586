"""A run: what it learns, that it follows from its seed, and that it goes on to the same bits."""

from __future__ import annotations

import json

import pytest
import torch

from rtd_adapters.errors import BackboneError, TrainingError
from rtd_adapters.methods.installed import get_method
from rtd_adapters.training import RunOptions
from rtd_adapters.training.inversion import engine as engines, trainer as trainers
from rtd_adapters.training.inversion.settings import InversionSettings
from rtd_adapters.training.inversion.trainer import make_optimizer


def same(one, other):
    first, second = one.state_dict(), other.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", ["lincir", "pic2word"])
def test_it_learns(run, name):
    projection, done = run(name, steps=60, noise_scale=0.1, learning_rate=3e-3)
    assert sum(done.record.losses[-5:]) < 0.8 * sum(done.record.losses[:5])
    assert done.after["inversion_recall@1"] > done.before["inversion_recall@1"]
    assert done.after["inversion_cosine"] > done.before["inversion_cosine"]
    assert not projection.training
    assert not any(parameter.requires_grad for parameter in projection.parameters())
    assert done.things == 200


def test_one_seed_one_result(run):
    assert same(run()[0], run()[0])
    assert not same(run()[0], run(seed=1)[0])


def test_a_run_cut_at_a_checkpoint_resumes_to_the_same_bits(run, tmp_path, monkeypatch):
    """Dropout, noise, random words and kept anchors included."""
    monkeypatch.setenv("RTD_CACHE", str(tmp_path / "cache"))

    def options(name, **further):
        return RunOptions(
            folder=tmp_path / name,
            checkpoint_every=2,
            validate_every=1,
            select="inversion_recall@1",
            anchor_cache=True,
            quiet=True,
            **further,
        )

    class Cut(engines.InversionEngine):
        """Dies in the fifth step."""

        calls = 0

        def step(self, lessons, backward):
            Cut.calls += 1
            if Cut.calls == 5:
                raise KeyboardInterrupt
            return super().step(lessons, backward)

    whole, _ = run(options=options("whole"))
    with monkeypatch.context() as patched:
        patched.setattr(trainers, "InversionEngine", Cut)
        with pytest.raises(KeyboardInterrupt):
            run(options=options("cut"))
    resumed, done = run(options=options("cut", resume=True))
    assert len(done.record.losses) == 2
    assert same(whole, resumed)
    lines = (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert "inversion_cosine" in json.loads(lines[-1])


def test_another_recipe_does_not_go_on(run, tmp_path):
    options = RunOptions(folder=tmp_path, checkpoint_every=2, quiet=True)
    run(options=options)
    resume = RunOptions(folder=tmp_path, resume=True, quiet=True)
    with pytest.raises(TrainingError, match=r"noise_scale: 1\.0 there, 0\.5 here"):
        run(options=resume, noise_scale=0.5)
    with pytest.raises(TrainingError, match=r"method: None there, 'other' here"):
        run(options=resume, identity={"method": "other"})


def test_parts_and_accumulation_end_in_the_same_weights(run):
    whole, _ = run(weight_decay=0.0)
    parts, _ = run(chunk_size=5, weight_decay=0.0)
    for name, tensor in whole.state_dict().items():
        assert torch.allclose(parts.state_dict()[name], tensor, atol=2e-4), name


def test_a_projection_of_another_width_is_refused(run, monkeypatch):
    from torch import nn

    method = get_method("lincir")
    monkeypatch.setattr(
        type(method), "build_projection", lambda self, shape: nn.Linear(shape.embed_dim, 48)
    )
    with pytest.raises(BackboneError, match=r"Pseudo tokens are \[\d+, \d+, 48\]; .* width 64"):
        run()


def test_pic2word_needs_the_clips_own_scale(run, monkeypatch):
    method = get_method("pic2word")
    kept = type(method.projection_training).loss
    monkeypatch.setattr(
        type(method.projection_training),
        "loss",
        lambda self, made, batch: kept(self, made, type(batch)(batch.targets, None)),
    )
    with pytest.raises(BackboneError, match="logit_scale"):
        run("pic2word")


def test_the_optimizer_decays_what_it_should():
    projection = get_method("pic2word").build_projection(_Shape)
    grouped = make_optimizer(
        projection,
        InversionSettings(weight_decay=0.1, decay_biases=False, beta2=0.98, epsilon=1e-6),
    )
    names = {id(p): n for n, p in projection.named_parameters()}
    decayed, kept = ({names[id(p)] for p in group["params"]} for group in grouped.param_groups)
    assert all(name.endswith("weight") for name in decayed) and len(decayed) == 3
    assert all(name.endswith("bias") for name in kept) and len(kept) == 3
    assert [group["weight_decay"] for group in grouped.param_groups] == [0.1, 0.0]
    assert grouped.defaults["betas"] == (0.9, 0.98) and grouped.defaults["eps"] == 1e-6


class _Shape:
    embed_dim, text_width, image_width = 8, 12, 0
