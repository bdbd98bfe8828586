"""Activation and heads belong to a text tower's identity, though no tensor tells them."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from rtd_adapters.clip.text import TowerConfig
from rtd_adapters.errors import PatchError
from rtd_adapters.evaluation.inputs import patched_tower


@pytest.fixture
def kind():
    return "full"


def with_gelu(model):
    for block in model.transformer.resblocks:
        block.mlp.gelu = nn.GELU()
    return model


def with_four_heads(model):
    for block in model.transformer.resblocks:
        block.attn.num_heads, block.attn.head_dim = 4, 16
    return model


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_gelu, "activation quick_gelu, but the model's has gelu"),
        (with_four_heads, "heads 2, but the model's has 4"),
    ],
)
def test_a_model_that_computes_otherwise_with_the_same_weights_is_refused(
    change, words, trained, live_model
):
    model = change(live_model("open_clip"))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(PatchError, match=words):
        trained.apply(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    trained.apply(model, force=True)
    assert not torch.equal(model.text_projection, before["text_projection"])


@pytest.mark.parametrize(("name", "value"), [("activation", "gelu"), ("heads", 4)])
def test_an_evaluation_with_such_a_backbone_is_refused(name, value, trained, toy_backbone):
    toy_backbone.tower.config = TowerConfig.from_dict(
        toy_backbone.tower.config.to_dict() | {name: value}
    )
    with pytest.raises(PatchError, match=f"{name} .*has {value}"):
        patched_tower(toy_backbone, trained)


def test_a_diagnosis_with_such_a_backbone_is_refused(trained, toy_backbone, tmp_path, monkeypatch):
    from rtd_adapters.jobs import diagnose

    trained.save(tmp_path / "w.safetensors")
    toy_backbone.tower.config = TowerConfig.from_dict(
        toy_backbone.tower.config.to_dict() | {"activation": "gelu"}
    )
    monkeypatch.setattr(diagnose, "load_backbone", lambda name: toy_backbone)
    with pytest.raises(PatchError, match="activation"):
        diagnose.diagnose("searle", tmp_path / "w.safetensors")


def test_the_launcher_refuses_such_a_model(trained, live_model):
    from rtd_adapters.launcher.injection import Injection

    injection = Injection(trained, lambda line: None)
    with pytest.raises(PatchError, match="activation quick_gelu"):
        injection.hand_over(with_gelu(live_model("open_clip")), "clip.load")
