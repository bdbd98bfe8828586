"""The frozen tower in less than fp32: measured, said, and kept apart."""

from __future__ import annotations

import json

import pytest
import torch

from rtd_adapters.clip.text import Tokenizer
from rtd_adapters.errors import UsageError
from rtd_adapters.patch import TextEncoderPatch
from rtd_adapters.training import RunOptions, Trainer, TrainingSettings
from rtd_adapters.training.anchors import Anchors
from rtd_adapters.training.frozen_precision import SAMPLE, anchor_error, computing_in

CPU = torch.device("cpu")
CAPTIONS = [f"a dog number {number}" for number in range(300)]


@pytest.fixture
def run(searle, toy_projection, toy_backbone, toy_triplets, tmp_path, monkeypatch):
    monkeypatch.setenv("RTD_CACHE", str(tmp_path / "cache"))

    def run(**settings):
        patch = TextEncoderPatch.create("full", toy_backbone, searle)
        trainer = Trainer(
            searle,
            toy_projection,
            toy_backbone,
            toy_triplets,
            TrainingSettings(steps=2, batch_size=8, learning_rate=1e-3, **settings),
            RunOptions(quiet=True, device="cpu", anchor_cache=True),
        )
        return patch, patch.fit(trainer)

    return run


def test_the_error_is_that_of_a_plain_loop(toy_tower):
    tokenizer = Tokenizer(32)
    found = anchor_error(toy_tower, tokenizer, CAPTIONS + CAPTIONS, "bf16")
    ids = tokenizer.encode(CAPTIONS[:SAMPLE])
    with torch.no_grad():
        exact = toy_tower(ids).double()
        with torch.autocast("cpu", torch.bfloat16):
            coarse = toy_tower(ids).double()
    cosines = torch.nn.functional.cosine_similarity(exact, coarse)
    assert found.captions == SAMPLE
    assert 1 - found.mean_cosine == pytest.approx((1 - cosines.mean()).item(), rel=0.2)
    assert 0.9 < found.least_cosine < found.mean_cosine < 0.99999
    unit = exact.square().mean().sqrt()
    assert found.largest_difference == pytest.approx(
        ((exact - coarse).abs().max() / unit).item(), rel=0.5
    )
    assert f"{SAMPLE} anchors in bf16 against fp32: cosine 0.9" in str(found)


def test_fp32_costs_nothing(toy_tower):
    found = anchor_error(toy_tower, Tokenizer(32), CAPTIONS[:9], "fp32")
    assert found.least_cosine == pytest.approx(1)
    assert found.largest_difference == 0


def test_anchors_are_fp32_whatever_made_them(toy_tower):
    computing = computing_in("bf16", CPU)
    assert Anchors(toy_tower, Tokenizer(32), computing=computing)(CAPTIONS).dtype == torch.float32


def test_a_run_says_what_it_cost_and_keeps_its_anchors_apart(run, tmp_path):
    exact, record = run()
    assert record.anchor_error is None
    coarse, record = run(frozen_precision="bf16")
    assert record.anchor_error.precision == "bf16"
    assert record.anchor_error.captions == 8
    one, other = exact.state(), coarse.state()
    assert not all(torch.equal(one[name], other[name]) for name in one)
    abouts = [json.loads(path.read_text()) for path in (tmp_path / "cache").rglob("about.json")]
    assert len({about["fingerprint"] for about in abouts}) == 2


def test_what_cannot_be_is_refused(run):
    with pytest.raises(UsageError, match="tf32 is for NVIDIA GPUs; this run is on cpu"):
        run(frozen_precision="tf32")
    with pytest.raises(UsageError, match="--frozen-precision needs the fast engine"):
        TrainingSettings(frozen_precision="bf16", engine="reference")


def test_tf32_is_switched_on_inside_alone():
    before = torch.backends.cuda.matmul.allow_tf32
    with computing_in("tf32", torch.device("cuda"))():
        assert torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cuda.matmul.allow_tf32 == before
