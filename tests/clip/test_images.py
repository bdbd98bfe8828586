"""Image states are those of the libraries' own towers, and lifting leads back to them."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from rtd_adapters.clip.image_head import image_head
from rtd_adapters.clip.images import image_states, image_width
from rtd_adapters.errors import BackboneError


def open_clip_vit():
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    torch.manual_seed(0)
    vision = CLIPVisionCfg(layers=2, width=64, head_width=32, patch_size=16, image_size=48)
    text = CLIPTextCfg(context_length=16, vocab_size=100, width=32, heads=2, layers=1)
    return shaken(CLIP(24, vision, text))


def transformers_clip():
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    small = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2}
    vision = {**small, "num_attention_heads": 2, "image_size": 48, "patch_size": 16}
    text = {**small, "num_attention_heads": 2, "vocab_size": 100, "eos_token_id": 99}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)
    return shaken(CLIPModel(config))


def resnet():
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    torch.manual_seed(0)
    vision = CLIPVisionCfg(layers=[1, 1, 1, 1], width=16, head_width=32, image_size=64)
    text = CLIPTextCfg(context_length=16, vocab_size=100, width=32, heads=2, layers=1)
    return shaken(CLIP(24, vision, text))


def shaken(model):
    """Weights away from their initial ones and zeros, so that every part counts."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize("make", [open_clip_vit, transformers_clip])
def test_the_head_takes_the_first_state_to_the_embedding(make):
    model = make()
    found = image_states(model, torch.randn(3, 3, 48, 48))
    assert found.tokens.shape == (3, 1 + 9, 64) == (3, 1 + 9, image_width(model))
    head = image_head(model)
    assert head.patches == 9
    torch.testing.assert_close(head(found.tokens[:, 0]), found.embedding, rtol=1e-4, atol=1e-5)


def test_patch_states_are_those_of_transformers_last_layer():
    model = transformers_clip()
    pictures = torch.randn(2, 3, 48, 48)
    expected = model.vision_model(pixel_values=pictures, output_hidden_states=True).hidden_states
    torch.testing.assert_close(image_states(model, pictures).tokens, expected[-1])


def test_an_attention_pool_is_the_mean_of_its_joint_cells():
    """With queries of zero all cells and their mean count alike, so the output is their mean."""
    model = resnet()
    nn.init.zeros_(model.visual.attnpool.q_proj.weight)
    nn.init.zeros_(model.visual.attnpool.q_proj.bias)
    pool = model.visual.attnpool
    seen = []
    pool.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    found = image_states(model, torch.randn(2, 3, 64, 64))
    mean = seen[0].mean((2, 3)) + pool.positional_embedding[0]
    first = pool.c_proj(pool.v_proj(mean))
    expected = torch.cat([first[:, None], found.tokens[:, 1:]], dim=1).mean(1)
    assert found.tokens.shape == (2, 1 + 4, 24) == (2, 5, image_width(model))
    assert image_head(model).patches == 4
    torch.testing.assert_close(found.embedding, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [open_clip_vit, transformers_clip])
def test_pictures_are_lifted_to_what_is_like_their_own_states(make):
    model = make()
    head = image_head(model)
    found = image_states(model, torch.randn(40, 3, 48, 48) + 2 * torch.randn(40, 3, 1, 1))
    states = found.tokens[:, 0]
    lifted = head.lift(found.embedding)
    assert torch.equal(head.lift(found.embedding), lifted)
    own, others = (
        torch.nn.functional.cosine_similarity(lifted - lifted.mean(0), s - s.mean(0))
        for s in (states, states.roll(1, 0))
    )
    assert own.mean() > 0.4
    assert others.mean().abs() < 0.1
    assert torch.nn.functional.cosine_similarity(head(lifted), found.embedding).mean() > 0.8


def test_the_scale_is_that_of_a_tower_on_noise():
    model = open_clip_vit()
    states = image_states(model, torch.randn(4, 3, 48, 48)).tokens[:, 1:]
    assert image_head(model).scale == pytest.approx(states.square().mean().sqrt().item(), rel=0.05)


def test_an_unknown_image_tower():
    class Odd(nn.Module):
        visual = nn.Linear(2, 2)

    with pytest.raises(BackboneError, match="Linear has no"):
        image_width(Odd())
    with pytest.raises(BackboneError, match="no patch states"):
        image_states(Odd(), torch.zeros(1))


@pytest.mark.parametrize("lacks", ["transformer", "ln_post"])
def test_half_of_a_vision_transformer_is_none(lacks):
    model, visual = nn.Module(), nn.Module()
    model.visual = visual
    for name in {"transformer", "ln_post"} - {lacks}:
        setattr(visual, name, nn.LayerNorm(4))
    with pytest.raises(BackboneError, match="no patch states"):
        image_states(model, torch.zeros(1))


def test_states_are_those_of_the_own_thread(monkeypatch):
    """Another thread's pictures go through the same model while states are watched."""
    from rtd_adapters.clip import images

    model, plain = open_clip_vit(), images.image_embeddings
    own, others = torch.randn(1, 3, 48, 48), torch.randn(1, 3, 48, 48)
    alone = image_states(model, own)

    def disturbed(model, pictures):
        embedding = plain(model, pictures)
        other = threading.Thread(target=model.encode_image, args=(others,))
        other.start()
        other.join()
        return embedding

    monkeypatch.setattr(images, "image_embeddings", disturbed)
    assert torch.equal(image_states(model, own).tokens, alone.tokens)
