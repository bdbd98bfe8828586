"""The fingerprint of an image tower changes with whatever changes a picture's embedding."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rtd_adapters.clip import image_fingerprint as module
from rtd_adapters.clip.image_fingerprint import image_fingerprint
from rtd_adapters.clip.images import image_states

TEXT = {"context_length": 16, "vocab_size": 100, "width": 32, "heads": 2, "layers": 1}
VISION = {"layers": 1, "width": 64, "head_width": 32, "patch_size": 16, "image_size": 48}


def open_clip(quick_gelu: bool = False, **vision) -> nn.Module:
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    torch.manual_seed(0)
    return CLIP(24, CLIPVisionCfg(**{**VISION, **vision}), CLIPTextCfg(**TEXT), quick_gelu)


def custom() -> nn.Module:
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP

    torch.manual_seed(0)
    return CustomTextCLIP(24, CLIPVisionCfg(**VISION), CLIPTextCfg(**TEXT))


def transformers() -> nn.Module:
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    small = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
    vision = {**small, "num_attention_heads": 2, "image_size": 48, "patch_size": 16}
    text = {**small, "num_attention_heads": 2, "vocab_size": 100, "eos_token_id": 99}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=24))


@torch.no_grad()
def seen(model: nn.Module) -> torch.Tensor:
    picture = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    return image_states(model, picture).embedding


@pytest.mark.parametrize("build", [open_clip, custom, transformers])
@torch.no_grad()
def test_every_tensor_that_a_picture_meets_counts(build):
    model = build().eval()
    before, whole = seen(model), image_fingerprint(model)
    met = 0
    for name, tensor in model.state_dict().items():
        kept = tensor.clone()
        if not tensor.is_floating_point():
            continue
        tensor.add_(torch.randn_like(tensor))
        if not torch.equal(seen(model), before):
            assert image_fingerprint(model) != whole, name
            met += 1
        elif name.startswith(("transformer.", "text.", "text_model.")):
            assert image_fingerprint(model) == whole, name
        tensor.copy_(kept)
    assert met > 10


def test_the_same_weights_built_otherwise_count_as_another_tower():
    plain, quick, narrow = open_clip(), open_clip(quick_gelu=True), open_clip(head_width=16)
    for other in (quick, narrow):
        other.load_state_dict(plain.state_dict())
        assert image_fingerprint(other) != image_fingerprint(plain)
    assert image_fingerprint(open_clip()) == image_fingerprint(plain)


def test_weights_are_hashed_once(monkeypatch):
    model, hashed = open_clip(), []
    original = module._digest
    monkeypatch.setattr(module, "_digest", lambda model: hashed.append(1) or original(model))
    assert len({image_fingerprint(model) for _ in range(3)}) == 1
    assert len(hashed) == 1
