"""LoRA's factors in PEFT's own format, under the names of the model that they belong to."""

from __future__ import annotations

import pytest
import torch
from tiny_towers import TINY
from tower_cells import difference, trained

from rtd_adapters.clip.text import find_tower
from rtd_adapters.patch.lora import LoRASettings

APART = [name for name in TINY if not name.startswith(("OpenAI", "Long", "open_clip"))]
APART += [name for name in TINY if "RoBERTa" in name or "mT5" in name.split(",")[0].split()[-1:]]


@pytest.mark.parametrize("name", APART)
@torch.no_grad()
def test_peft_loads_an_adapter_onto_the_librarys_model(name, fresh_case, tower, tmp_path):
    from peft import PeftModel

    case = fresh_case(name)
    assert not find_tower(case.model).family.layout.fused
    with torch.enable_grad():
        patch, _ = trained(case, tower, "lora")
    patch.metadata.layout = find_tower(case.model).layout
    ids = case.ids(seed=1)
    before = case.encode(ids)
    patch.save_adapter(tmp_path / "adapter")
    PeftModel.from_pretrained(case.model, tmp_path / "adapter")
    after = case.encode(ids)
    assert difference(case, patch.build_tower()(ids), after) <= 1e-5
    assert (after - before).abs().max() > 1e-4 * before.abs().max()


@pytest.mark.parametrize("name", TINY)
def test_factors_go_to_every_linear_layer_of_the_blocks_by_role(name, tower):
    linear = [
        f"transformer.{path}"
        for path, module in tower.transformer.named_modules()
        if isinstance(module, torch.nn.Linear)
    ]
    assert sorted(LoRASettings().layers(tower)) == sorted(linear)
    attention = [path for path in linear if ".attn." in path]
    assert sorted(LoRASettings(targets=("attention",)).layers(tower)) == sorted(attention)
    assert 0 < len(attention) < len(linear)
