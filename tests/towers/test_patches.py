"""Patches of every family: trained, put on and taken off, saved and loaded by the library alone."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from tiny_towers import TINY
from tower_cells import applied, backbone_of, moved, reloaded, reverted, trained

from rtd_adapters import get_method
from rtd_adapters.clip.text import find_tower
from rtd_adapters.errors import PatchError
from rtd_adapters.patch import TextEncoderPatch

TOLERANCE = 1e-5


@pytest.mark.parametrize("name", TINY)
def test_a_patched_model_computes_what_was_trained(name, case, patch):
    assert moved(case, patch) > 0.01
    assert applied(case, patch) <= TOLERANCE


@pytest.mark.parametrize("name", TINY)
def test_half_a_patch_is_half_way(name, case, tower, patch):
    assert applied(case, patch, 0.5) <= TOLERANCE
    base, state = tower.state_dict(), patch.state()
    tensor = "transformer.resblocks.1.mlp.c_fc.weight"
    with patch.applied(case.model, 0.5):
        half = find_tower(case.model).state()[tensor]
    expected = (base[tensor].double() + state[tensor].double()) / 2
    assert torch.allclose(half.double(), expected, atol=1e-7, rtol=0)
    assert not torch.equal(base[tensor], state[tensor])


@pytest.mark.parametrize("name", TINY)
def test_a_patch_comes_off_bit_for_bit(name, case, patch):
    assert reverted(case, patch)


@pytest.mark.parametrize("kind", ["full", "lora"])
@pytest.mark.parametrize("name", TINY)
def test_a_file_is_all_that_the_library_needs(name, kind, fresh_case, tower, patch, tmp_path):
    case = fresh_case(name)
    if kind == "lora":
        patch, losses = trained(case, tower, "lora")
        assert all(map(math.isfinite, losses))
        assert patch.merge_difference() <= TOLERANCE
        assert moved(case, patch) > 1e-4
    assert reloaded(case, patch, tmp_path) <= TOLERANCE


@pytest.mark.parametrize("name", TINY)
def test_a_saved_patch_knows_its_tower_again(name, case, patch, tmp_path):
    patch.save(tmp_path / "w.safetensors")
    loaded = TextEncoderPatch.load(tmp_path / "w.safetensors")
    assert loaded.build_tower().config == find_tower(case.model).config
    assert applied(case, loaded) <= TOLERANCE


@pytest.mark.parametrize("name", TINY)
def test_a_patch_of_another_family_is_refused(name, fresh_case, patch):
    other = fresh_case("open_clip SigLIP" if "BLIP" in name else "transformers BLIP")
    before = {key: tensor.clone() for key, tensor in other.model.state_dict().items()}
    with pytest.raises(PatchError, match=r"trained for .*, but the model's text tower has finger"):
        patch.apply(other.model)
    with pytest.raises(PatchError, match="does not fit this model"):
        patch.apply(other.model, force=True)
    assert all(torch.equal(t, before[key]) for key, t in other.model.state_dict().items())


def test_a_model_with_more_than_the_patch_is_refused(fresh_case):
    """Not even by force: a patch without a projection knows none to write."""
    name = "open_clip SigLIP without projection"
    case, other = fresh_case(name), fresh_case("open_clip SigLIP")
    patch = TextEncoderPatch.create("full", backbone_of(case, case.tower()), get_method("searle"))
    other.model.text.transformer = case.model.text.transformer
    with pytest.raises(PatchError, match=r"text_projection.weight is absent in the patch and \["):
        patch.apply(other.model, force=True)


@pytest.mark.parametrize(
    ("name", "change", "part"),
    [
        ("open_clip CLIP", lambda m: setattr(m, "attn_mask", None), "mask"),
        ("open_clip CLIPA", lambda m: setattr(m, "text_pool_type", "argmax"), "pooling"),
        ("open_clip SigLIP", lambda m: setattr(m.text, "pool_type", "first"), "pooling"),
        ("open_clip SigLIP 2", lambda m: setattr(m.text.ln_final, "eps", 1e-5), "eps"),
        (
            "transformers MetaCLIP 2",
            lambda m: setattr(m.text_model.config, "eos_token_id", 7),
            "eos_id",
        ),
        ("open_clip CoCa", lambda m: setattr(m.text, "pad_id", 9), "pad_id"),
    ],
)
def test_the_same_weights_computed_otherwise_are_refused(name, change, part, fresh_case, patch):
    model = fresh_case(name).model
    change(model)
    if part == "eps":
        for module in model.text.transformer.modules():
            if hasattr(module, "eps"):
                module.eps = 1e-5
    with pytest.raises(PatchError, match=f"trained for a text tower with {part}"):
        patch.apply(model)


@pytest.mark.parametrize("name", TINY)
def test_a_patch_is_bound_to_what_its_tower_computes(name, case, tower):
    """Everything of the description is in the file, and every part of it counts."""
    patch = TextEncoderPatch.create("full", backbone_of(case, tower), get_method("searle"))
    assert patch.metadata.tower == tower.config.to_dict()
    other = replace(tower.config, eps=0.5)
    with pytest.raises(PatchError, match="eps"):
        patch.require_fit(tower.state_dict(), other)
