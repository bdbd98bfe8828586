"""NaN and infinity are refused where weights are read, and the tensor is named."""

from __future__ import annotations

import pytest
import torch

from rtd_adapters.clip.shapes import BackboneShape
from rtd_adapters.clip.text import fingerprint, tower_from_model, tower_from_state_dict
from rtd_adapters.errors import BackboneError, PatchError
from rtd_adapters.patch import TextEncoderPatch

VALUES = [float("nan"), float("inf"), -float("inf")]


@pytest.fixture(params=VALUES, ids=str)
def bad(request):
    return request.param


def test_a_patch_file_with_such_a_tensor_is_refused(bad, toy_backbone, searle, tmp_path):
    patch = TextEncoderPatch.create("full", toy_backbone, searle)
    with torch.no_grad():
        patch.student.ln_final.bias[3] = bad
    patch.metadata.fingerprint = fingerprint(patch.state())
    patch.save(tmp_path / "w.safetensors")
    with pytest.raises(PatchError, match=r"w\.safetensors .*ln_final\.bias holds NaN"):
        TextEncoderPatch.load(tmp_path / "w.safetensors")


def test_a_projection_with_such_a_tensor_is_refused(bad, searle, tmp_path):
    shape = BackboneShape(16, 24, 32)
    state = searle.build_projection(shape).state_dict()
    state["layers.3.bias"][0] = bad
    torch.save({"Phi": state}, tmp_path / "phi.pt")
    with pytest.raises(BackboneError, match=r"phi\.pt .*layers\.3\.bias holds NaN"):
        searle.load_projection(tmp_path / "phi.pt", shape)


def test_a_text_tower_with_such_a_tensor_is_refused(bad, toy_tower):
    state = {name: tensor.clone() for name, tensor in toy_tower.state_dict().items()}
    state["text_projection"][0, 0] = bad
    from rtd_adapters.clip.text import to_layout

    with pytest.raises(BackboneError, match="text_projection holds NaN"):
        tower_from_state_dict(to_layout(state, "hf"), heads=2, activation="gelu")


def test_a_model_with_such_a_tensor_is_refused(bad):
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    vision = CLIPVisionCfg(layers=1, width=64, head_width=64, patch_size=16, image_size=32)
    model = CLIP(32, vision, CLIPTextCfg(width=64, heads=2, layers=1))
    with torch.no_grad():
        model.positional_embedding[5] = bad
    with pytest.raises(BackboneError, match="positional_embedding holds NaN"):
        tower_from_model(model)
