"""Live CLIP models that carry the toy tower, and a patch trained on it."""

from __future__ import annotations

import pytest
import torch

from rtd_adapters.clip.text import to_layout
from rtd_adapters.patch import TextEncoderPatch
from rtd_adapters.training import TrainingSettings
from rtd_adapters.training.trainer import Trainer


def load_text(model, tower, layout):
    """Put the toy tower into a live model."""
    missing, unexpected = model.load_state_dict(to_layout(tower.state_dict(), layout), strict=False)
    assert not unexpected
    assert not [name for name in missing if name.startswith(("text", "token", "ln_final"))]
    return model.eval()


def openai_model(tower):
    clip = pytest.importorskip("clip.model")
    model = clip.CLIP(32, 32, 1, 64, 16, 32, 49408, 64, 2, 2)
    return load_text(model, tower, "openai")


def open_clip_model(tower, custom=False):
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP

    vision = CLIPVisionCfg(layers=1, width=64, head_width=64, patch_size=16, image_size=32)
    text = CLIPTextCfg(context_length=32, vocab_size=49408, width=64, heads=2, layers=2)
    model = (CustomTextCLIP if custom else CLIP)(32, vision, text, quick_gelu=True)
    return load_text(model, tower, "open_clip_custom" if custom else "openai")


def transformers_model(tower, full=False):
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModelWithProjection

    text = {
        "vocab_size": 49408,
        "hidden_size": 64,
        "intermediate_size": 256,
        "projection_dim": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 32,
        "hidden_act": "quick_gelu",
        "eos_token_id": 49407,
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 16,
        "projection_dim": 32,
    }
    if full:
        config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=32)
        return load_text(CLIPModel(config), tower, "hf")
    return load_text(CLIPTextModelWithProjection(CLIPTextConfig(**text)), tower, "hf")


def build_model(kind, tower):
    """A live CLIP of that kind with the toy tower inside."""
    return {
        "openai": lambda: openai_model(tower),
        "open_clip": lambda: open_clip_model(tower),
        "open_clip_custom": lambda: open_clip_model(tower, custom=True),
        "transformers": lambda: transformers_model(tower),
        "transformers_full": lambda: transformers_model(tower, full=True),
    }[kind]()


@pytest.fixture
def live_model(toy_tower):
    """Builds a live CLIP of a kind with the toy tower inside."""
    return lambda which: build_model(which, toy_tower)


@pytest.fixture
def features():
    """Computes text embeddings by a live model's own forward."""
    return text_features


@torch.no_grad()
def text_features(model, ids):
    """Text embeddings by the model's own forward."""
    if hasattr(model, "encode_text"):
        return model.encode_text(ids)
    if hasattr(model, "get_text_features"):
        output = model.get_text_features(input_ids=ids)
        return getattr(output, "pooler_output", output)
    return model(input_ids=ids).text_embeds


@pytest.fixture
def ids(toy_tower):
    """Token ids of a few captions."""
    from rtd_adapters.clip.text import Tokenizer

    texts = ["a photo of a dog", "two red stars on a dark wall", "a small green circle"]
    return Tokenizer(toy_tower.config.context_length).encode(texts)


@pytest.fixture(params=["full", "lora"])
def kind(request):
    return request.param


@pytest.fixture
def trained(kind, toy_backbone, searle, toy_projection, toy_triplets):
    """A patch after six large steps, so that it clearly differs from its base."""
    settings = TrainingSettings(steps=6, batch_size=8, learning_rate=5e-3)
    patch = TextEncoderPatch.create(kind, toy_backbone, searle)
    patch.fit(Trainer(searle, toy_projection, toy_backbone, toy_triplets, settings))
    return patch
