"""What a patch says of itself, and the tower it builds alone, to the letter and to the last bit."""

from __future__ import annotations

import json

import pytest
import torch

from rtd_adapters.clip.text import fingerprint
from rtd_adapters.errors import PatchError, UsageError
from rtd_adapters.patch import PatchMetadata, TextEncoderPatch, surviving_share
from rtd_adapters.patch.card import write_card
from rtd_adapters.patch.fit import require_same_base
from rtd_adapters.patch.lora import LoRASettings


@pytest.fixture
def moved(toy_backbone, searle):
    """A full patch whose every weight differs from its base."""
    patch = TextEncoderPatch.create("full", toy_backbone, searle)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in patch.student.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.01)
    return patch


def test_a_built_tower_lies_between_base_and_patch(moved, ids):
    base = moved.base.state_dict()
    whole, part = moved.build_tower(), moved.build_tower(base, 0.25)
    assert all(torch.equal(whole.state_dict()[n], t) for n, t in moved.state().items())
    for name, tensor in part.state_dict().items():
        expected = base[name].double() * 0.75 + moved.state()[name].double() * 0.25
        assert torch.allclose(tensor.double(), expected, atol=1e-7, rtol=0), name
    for tower in (whole, part):
        assert not tower.training
        assert not tower(ids).requires_grad
    with pytest.raises(UsageError, match=r"strength 0\.25 needs base="):
        moved.build_tower(strength=0.25)


def test_both_fingerprints_are_cut_to_twelve_signs(moved):
    other = {name: tensor + 1 for name, tensor in moved.base.state_dict().items()}
    ours, theirs = moved.metadata.base_fingerprint["fp32"], fingerprint(other)["fp32"]
    with pytest.raises(
        PatchError, match=rf"\(fingerprint {ours[:12]}\), but .* fingerprint {theirs[:12]}\. Load"
    ):
        require_same_base(moved.metadata, other)


def test_the_header_is_one_readable_line_that_comes_back(moved):
    moved.metadata.triplets = {"source": "caf\u00e9"}
    header = moved.metadata.to_header()
    assert list(header) == ["rtd"]
    assert "caf\u00e9" in header["rtd"]
    assert "\n" not in header["rtd"]
    assert PatchMetadata.from_header(header, "here") == moved.metadata
    values = json.loads(header["rtd"]) | {"of a later version": 1}
    again = PatchMetadata.from_header({"rtd": json.dumps(values)}, "here")
    assert again == moved.metadata
    assert (again.dtype, again.schema, again.kind) == ("fp32", 1, "full")


def test_only_rounded_tensors_lose(moved):
    """By hand: |rounding of the change| over |change|, of the tensors that are rounded."""
    base, patched = moved.base.state_dict(), moved.state()
    lost = change = 0.0
    for name in base:
        for before, after in zip(
            base[name].flatten()[:50].tolist(), patched[name].flatten()[:50].tolist(), strict=True
        ):
            change += (after - before) ** 2
            if name.startswith("ln_final"):
                kept = torch.tensor(after).half().item() - torch.tensor(before).half().item()
                lost += (kept - (after - before)) ** 2
    few = [{n: t.flatten()[:50] for n, t in state.items()} for state in (base, patched)]
    share = surviving_share(*few, torch.float16, lambda name: name.startswith("ln_final"))
    assert lost > 0
    assert share == pytest.approx(1 - (lost / change) ** 0.5, rel=1e-9)


@pytest.mark.parametrize(
    ("figures", "table"),
    [
        ({}, "None were taken."),
        (
            {"before": {"recall@1": 10.04, "map@5": 3.0}, "after": {"recall@1": 12.5, "map@5": 1}},
            "| metric, per cent | before | after | difference |\n|---|---|---|---|\n"
            "| recall@1 | 10.0 | 12.5 | +2.5 |\n| map@5 | 3.0 | 1.0 | -2.0 |",
        ),
    ],
)
def test_the_cards_figures_and_settings(moved, figures, table, tmp_path):
    moved.metadata.figures = figures
    write_card(tmp_path / "README.md", moved.metadata, weights="w.safetensors", command="")
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert f"## Figures\n\n{table}\n\n" in card
    assert "\n    rtd patch\n" in card
    settings = json.loads(card.partition("```json\n")[2].partition("```")[0])
    assert settings["fingerprint"] == moved.metadata.fingerprint["fp32"]
    assert list(settings) == sorted(settings)
    assert '\n  "kind": "full"' in card


# Low rank


@pytest.mark.parametrize(("blocks", "outside"), [((2,), "2"), ((-1, 0), "-1"), ((5, 1, 2), "5, 2")])
def test_blocks_just_outside_the_tower(blocks, outside, toy_backbone, searle):
    with pytest.raises(UsageError, match=rf"blocks \[{outside}\] do not exist"):
        TextEncoderPatch.create("lora", toy_backbone, searle, lora=LoRASettings(blocks=blocks))


def test_the_least_and_the_default_settings():
    assert LoRASettings(rank=1, dropout=0.0)
    assert LoRASettings().to_dict() == {
        "rank": 8,
        "alpha": 16.0,
        "dropout": 0.0,
        "targets": ["attention", "mlp"],
        "blocks": None,
    }
    assert LoRASettings(blocks=(1, 0)).to_dict()["blocks"] == [1, 0]
    with pytest.raises(UsageError, match=r"dropout is -0\.1"):
        LoRASettings(dropout=-0.1)
    with pytest.raises(UsageError, match=r"vision.*attention, mlp"):
        LoRASettings(targets=("mlp", "vision"))


def test_the_adapters_own_settings(toy_backbone, searle, tmp_path):
    lora = LoRASettings(rank=3, alpha=5.0, dropout=0.1, targets=("mlp",), blocks=(1, 0))
    patch = TextEncoderPatch.create("lora", toy_backbone, searle, lora=lora)
    patch.save_adapter(tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (3, 5.0, 0.1)
    assert (config["bias"], config["inference_mode"]) == ("none", True)
    assert list(config) == sorted(config)  # one order, so that one run writes one file
    assert config["target_modules"] == [
        f"text_model.encoder.layers.{block}.mlp.fc{layer}" for block in (0, 1) for layer in (1, 2)
    ]


def test_the_merge_tolerance_is_one_in_ten_thousand(toy_backbone, searle, monkeypatch):
    patch = TextEncoderPatch.create("lora", toy_backbone, searle)
    patch.student.train()
    for off, fits in ((0.9e-4, True), (1.1e-4, False)):
        outputs = iter([torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, off]])])
        monkeypatch.setattr(type(patch.student), "forward", lambda *_, it=outputs: next(it))
        if fits:
            assert patch.merge_difference() == pytest.approx(off, rel=1e-3)
        else:
            with pytest.raises(PatchError, match=r"by 1\.1e-04 \(more than 1e-04\)"):
                patch.merge_difference()
        assert patch.student.training
