"""LoRA patches: what is trained, what is merged, and what peft itself makes of the adapter."""

from __future__ import annotations

import pytest
import torch

from rtd_adapters.errors import FileError, PatchError, UsageError
from rtd_adapters.patch import TextEncoderPatch
from rtd_adapters.patch.lora import LoRASettings


@pytest.fixture
def kind():
    return "lora"


def trained_names(patch):
    return {name for name, value in patch.student.named_parameters() if value.requires_grad}


def test_only_factors_of_the_chosen_layers_are_trained(toy_backbone, searle):
    lora = LoRASettings(rank=4, targets=("mlp",), blocks=(1,))
    patch = TextEncoderPatch.create("lora", toy_backbone, searle, lora=lora)
    assert trained_names(patch) == {
        f"transformer.resblocks.1.mlp.{layer}.lora_{part}.default.weight"
        for layer in ("c_fc", "c_proj")
        for part in "AB"
    }


def test_merged_weights_are_base_plus_scaled_product(trained):
    name = "transformer.resblocks.0.attn.q_proj"
    layer = trained.student.get_submodule(name)
    product = layer.lora_B["default"].weight.double() @ layer.lora_A["default"].weight.double()
    expected = trained.base.state_dict()[f"{name}.weight"].double() + 16.0 / 8 * product
    assert torch.allclose(trained.state()[f"{name}.weight"].double(), expected, atol=1e-7)
    assert product.abs().max() > 1e-3


def test_only_linear_weights_change(trained):
    base, merged = trained.base.state_dict(), trained.state()
    changed = {name for name in base if not torch.equal(base[name], merged[name])}
    assert len(changed) == 12
    assert all(name.endswith("proj.weight") or name.endswith("c_fc.weight") for name in changed)


def test_merge_difference_is_small_and_a_large_one_is_an_error(trained, monkeypatch):
    assert trained.merge_difference() < 1e-5
    monkeypatch.setattr(type(trained), "state", lambda self: self.base.state_dict())
    with pytest.raises(PatchError, match="differ from the adapter"):
        trained.merge_difference()


def test_peft_loads_the_adapter_onto_transformers(trained, live_model, features, ids, tmp_path):
    from peft import PeftModel

    folder = tmp_path / "adapter"
    trained.save_adapter(folder)
    patched = live_model("transformers")
    trained.apply(patched)
    with_adapter = PeftModel.from_pretrained(live_model("transformers"), folder)
    with torch.no_grad():
        found = with_adapter(input_ids=ids).text_embeds
    assert torch.allclose(found, features(patched, ids), atol=1e-5)
    assert (found - features(live_model("transformers"), ids)).abs().max() > 0.01


def test_an_adapter_is_not_written_over_another(trained, tmp_path):
    trained.save_adapter(tmp_path / "adapter")
    with pytest.raises(FileError, match="--overwrite"):
        trained.save_adapter(tmp_path / "adapter")
    trained.save_adapter(tmp_path / "adapter", overwrite=True)


def test_one_seed_one_start(toy_backbone, searle):
    def start(seed):
        patch = TextEncoderPatch.create("lora", toy_backbone, searle, seed=seed)
        return patch.student.get_submodule("transformer.resblocks.0.mlp.c_fc").lora_A

    first, again, other = (start(seed)["default"].weight for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rank": 0}, "at least 1"),
        ({"dropout": 1.0}, "at least 0 and below 1"),
        ({"targets": ("vision",)}, "attention, mlp"),
        ({"targets": ()}, "attention, mlp"),
    ],
)
def test_impossible_settings(values, message):
    with pytest.raises(UsageError, match=message):
        LoRASettings(**values)


def test_blocks_outside_the_tower(toy_backbone, searle):
    with pytest.raises(UsageError, match=r"\[7\] do not exist; the tower has 0 to 1"):
        TextEncoderPatch.create("lora", toy_backbone, searle, lora=LoRASettings(blocks=(0, 7)))
