"""Sizes, defaults and edges of backbones and their towers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from rtd_adapters.clip.backbones import Backbone, load_backbone
from rtd_adapters.clip.image_head import ImageHead
from rtd_adapters.clip.open_clip_models import config_shape
from rtd_adapters.clip.shapes import BackboneShape
from rtd_adapters.clip.text import TextTower, Tokenizer, TowerConfig
from rtd_adapters.errors import BackboneError


def test_a_head_without_weights_changes_nothing():
    head, vectors = ImageHead(), torch.randn(2, 3)
    assert head(vectors) is head.lift(vectors) is vectors
    assert (head.patches, head.scale) == (1, 1.0)


def test_shapes_of_open_clips_configs():
    text = {"width": 7}
    vit = {"embed_dim": 5, "text_cfg": text, "vision_cfg": {"layers": 2, "width": 9}}
    pool = {"embed_dim": 5, "text_cfg": text, "vision_cfg": {"layers": [1, 2], "width": 9}}
    assert config_shape(vit) == BackboneShape(5, 7, 9)
    assert config_shape(pool) == BackboneShape(5, 7, 5)


def test_captions_come_in_their_order_however_many(toy_backbone):
    captions = [f"number {n % 7} of {n}" for n in range(300)]
    found = toy_backbone.embed_captions(captions)
    tower = toy_backbone.tower
    expected = torch.cat([tower(Tokenizer(32).encode([text])) for text in captions[250:262]])
    torch.testing.assert_close(found[250:262], expected, rtol=1e-4, atol=1e-4)
    assert found.shape == (300, 32)
    assert toy_backbone.embed_captions([]).shape == (0, 32)
    trained = copy.copy(toy_backbone)
    trained.tower = copy.deepcopy(tower).requires_grad_(True)
    assert not trained.embed_captions(["a"]).requires_grad


def test_what_a_backbone_is_called(toy_backbone):
    assert toy_backbone.label == "toy/random"
    assert Backbone("toy", None, toy_backbone.tower, toy_backbone.shape, None, None).label == "toy"
    toy_backbone.model, toy_backbone.preprocess = nn.Identity(), str
    assert toy_backbone.drop_images() is toy_backbone
    assert toy_backbone.model is toy_backbone.preprocess is None


def test_a_loaded_backbone_is_frozen_and_in_full_precision():
    loaded = load_backbone("demo")
    for part in (loaded.model, loaded.tower):
        assert not part.training
        assert not any(p.requires_grad for p in part.parameters())
        assert {p.dtype for p in part.parameters()} == {torch.float32}
    with pytest.raises(BackboneError, match="demo brings its own weights"):
        load_backbone("demo", "openai")


def test_a_tower_is_clips_unless_it_is_told_otherwise():
    config = TowerConfig(64, 2, 4, 32, "gelu")
    assert (config.vocab_size, config.context_length, config.mlp_width) == (49408, 77, 256)
    assert TowerConfig(64, 2, 4, 32, "gelu", mlp_width=100).mlp_width == 100
    assert TowerConfig(64, 2, 1, 32, "gelu").heads == 1
    for heads in (0, -2, 5):
        with pytest.raises(BackboneError, match=f"width 64 cannot have {heads} attention heads"):
            TowerConfig(64, 2, heads, 32, "gelu")


def test_a_fresh_tower_is_drawn_as_openais_code_draws_it():
    torch.manual_seed(0)
    tower = TextTower(TowerConfig(64, 1, 1, 256, "gelu", vocab_size=2000))
    assert tower.token_embedding.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert tower.positional_embedding.std().item() == pytest.approx(0.01, rel=0.05)
    assert tower.text_projection.std().item() == pytest.approx(0.125, rel=0.03)
    assert tower.trimmed(torch.empty(0, 5, dtype=torch.long)).shape == (0, 5)
