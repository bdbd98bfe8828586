"""`rtd export --strength`: what is written, what is said, what is refused."""

from __future__ import annotations

import json

import pytest
import torch

from rtd_adapters.clip.backbones import load_backbone
from rtd_adapters.clip.text import from_layout
from rtd_adapters.patch import TextEncoderPatch


@pytest.fixture(scope="module")
def learned(patch, tmp_path_factory):
    out = tmp_path_factory.mktemp("learned") / "w.safetensors"
    assert patch(out, "--max-steps", 1, "--batch-size", 4, "--quiet").returncode == 0
    return out


def test_half_a_patch(learned, rtd, tmp_path):
    out = tmp_path / "half.pt"
    run = rtd("export", learned, "--for", "rtd", "--out", out, "--strength", 0.5, "--json")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["strength"] == 0.5
    _, found = from_layout(torch.load(out, weights_only=True)["CLIPTextModelWithProjection"])
    base, after = load_backbone().tower.state_dict(), TextEncoderPatch.load(learned).state()
    for name, tensor in found.items():
        middle = (base[name].double() + after[name].double()) / 2
        torch.testing.assert_close(tensor.double(), middle, rtol=1e-6, atol=1e-7)
    again = rtd("export", learned, "--for", "rtd", "--out", tmp_path / "2.pt", "--strength", 0.5)
    assert "w.safetensors at strength 0.5 for rtd" in again.stdout


def test_beyond_the_patch_is_wrong_usage(learned, rtd, tmp_path):
    out = tmp_path / "out.pt"
    run = rtd("export", learned, "--for", "rtd", "--out", out, "--strength", 1.5)
    assert run.returncode == 2
    assert "--strength is 1.5; it must be at least 0 and at most 1" in run.stderr
    assert not out.exists()
