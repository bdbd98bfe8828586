"""The seam carries methods of other kinds than the built-in ones through training, end to end."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from rtd_adapters import PatchJob, RunOptions, TextEncoderPatch, TrainingSettings, run_patch
from rtd_adapters.hooks.registry import registry
from rtd_adapters.training import FastEngine, ReferenceEngine, Towers
from rtd_adapters.training.batches import TripletStream

STEPS, LEARNING_RATE = 2, 0.1


@pytest.fixture
def towers(toy_backbone):
    """Makes the towers of a run with a method."""

    def make(method):
        torch.manual_seed(0)
        projection = method.build_projection(toy_backbone.shape).eval().requires_grad_(False)
        student = copy.deepcopy(toy_backbone.tower).requires_grad_(True)
        tokenizer = method.tokenizer(student)
        return Towers(method, projection, toy_backbone.tower, student, tokenizer)

    return make


def trained(engine, towers, settings, batches):
    """Loss and gradients of each of some plain steps."""
    own = replace(towers, student=copy.deepcopy(towers.student))
    running = engine(own, settings)
    seen = []
    for batch in batches:
        own.student.zero_grad()
        loss = running.step(batch, lambda value: value.backward()).item()
        parameters = dict(own.student.named_parameters())
        seen.append((loss, {name: p.grad.clone() for name, p in parameters.items()}))
        with torch.no_grad():
            for parameter in parameters.values():
                parameter -= LEARNING_RATE * parameter.grad
    return seen


@pytest.mark.parametrize("chunk_size", [None, 3])
@pytest.mark.parametrize("refined_batch", [True, False])
@pytest.mark.parametrize("name", ["training_free", "two_queries"])
def test_both_engines_train_alike(name, refined_batch, chunk_size, example, towers, toy_triplets):
    parts = towers(example(name))
    stream = TripletStream(toy_triplets, parts.tokenizer, batch_size=7, seed=0)
    batches = [stream.batch(step) for step in range(STEPS)]
    settings = TrainingSettings(noise_scale=0.5, refined_batch=refined_batch)
    expected = trained(ReferenceEngine, parts, settings, batches)
    found = trained(FastEngine, parts, replace(settings, chunk_size=chunk_size), batches)
    assert expected[0][0] != expected[1][0]
    for (loss, gradients), (wanted, reference) in zip(found, expected, strict=True):
        assert loss == pytest.approx(wanted, rel=1e-5)
        whole = sum(grad.square().sum() for grad in reference.values()).sqrt()
        assert whole > 0
        for tensor, grad in reference.items():
            # A key bias has no true gradient: what is there is rounding.
            scale = whole if tensor.endswith("k_proj.bias") else grad.norm()
            assert (gradients[tensor] - grad).norm() <= 1e-5 * scale, tensor


@pytest.mark.slow
@pytest.mark.parametrize("name", ["training_free", "two_queries"])
def test_run_patch_learns_a_patch(name, example, tmp_path, monkeypatch):
    method = example(name)
    monkeypatch.setitem(registry().methods, name, method)
    job = PatchJob(
        name,
        tmp_path / "weights.safetensors",
        backbone="demo",
        projection=projection_file(method, tmp_path),
        settings=TrainingSettings(steps=STEPS, batch_size=8, learning_rate=1e-3),
        options=RunOptions(quiet=True),
    )
    result = run_patch(job)
    assert len(result.record.losses) == STEPS
    assert result.before.keys() == result.after.keys()
    patch = TextEncoderPatch.load(job.out)
    assert patch.metadata.method == name
    assert patch.metadata.layout == method.layout


def projection_file(method, folder):
    """A fresh projection for the built-in world, as the method's repository would save it."""
    if not method.needs_projection:
        return None
    shape = registry().backbones["demo"].shape()
    path = folder / "own.pt"
    torch.save({"projection": method.build_projection(shape).state_dict()}, path)
    return path
