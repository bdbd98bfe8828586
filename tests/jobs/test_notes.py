"""What `rtd patch` says before it trains, where a patch would not be what its user thinks."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from rtd_adapters import get_method
from rtd_adapters.clip.image_head import ImageHead
from rtd_adapters.clip.shapes import BackboneShape
from rtd_adapters.jobs.inputs import PatchJob, load_inputs
from rtd_adapters.jobs.lift import lift_note
from rtd_adapters.triplets import Triplet


@pytest.fixture
def world(tmp_path):
    """Makes the job of a tiny open_clip backbone with an activation of choice."""
    import open_clip

    triplets = tmp_path / "triplets.json"
    row = {
        "reference_caption": "a dog",
        "conditioning_caption": "is red",
        "target_caption": "a red dog",
    }
    triplets.write_text(json.dumps(row) + "\n")

    def make(method, quick_gelu):
        name = f"notes-{quick_gelu}".lower()
        config, weights = tmp_path / f"{name}.json", tmp_path / f"{name}.pt"
        sizes = {
            "embed_dim": 32,
            "quick_gelu": quick_gelu,
            "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
            "text_cfg": {"width": 64, "heads": 2, "layers": 2},
        }
        config.write_text(json.dumps(sizes))
        open_clip.add_model_config(config)
        torch.save(open_clip.create_model(name).state_dict(), weights)
        projection = tmp_path / f"{method}.pt"
        module = get_method(method).build_projection(BackboneShape(32, 64, 64))
        torch.save(module.state_dict(), projection)
        return PatchJob(
            method=method,
            out=tmp_path / "out.safetensors",
            backbone=str(config),
            pretrained=str(weights),
            projection=projection,
            triplets=triplets,
        )

    return make


@pytest.mark.parametrize(
    ("method", "quick_gelu", "noted"),
    [("searle", False, True), ("searle", True, False), ("lincir", False, False)],
)
def test_a_repository_that_builds_another_activation_is_named(method, quick_gelu, noted, world):
    said = []
    load_inputs(world(method, quick_gelu), said.append)
    notes = [line for line in said if "computes with gelu" in line]
    assert bool(notes) is noted
    assert all("searle's repository builds its text tower with quick_gelu" in n for n in notes)


def test_the_built_in_world_gets_no_such_note(tmp_path):
    said = []
    load_inputs(PatchJob(method="searle", out=tmp_path / "out.safetensors"), said.append)
    assert not [line for line in said if "activation" in line or "computes with" in line]


@pytest.fixture
def lift_notes(world, monkeypatch):
    """What a job says of its lift, on a backbone whose pictures a shift of the LayerNorm moves."""
    from rtd_adapters.clip import backbones

    plain = backbones.load_open_clip

    def said(shift, trained="context_i2w", **asked):
        def shifted(*named):
            torch.manual_seed(0)
            model, preprocess = plain(*named)
            torch.nn.init.normal_(model.visual.proj)
            torch.nn.init.normal_(model.visual.ln_post.bias, std=shift)
            return model, preprocess

        monkeypatch.setattr(backbones, "load_open_clip", shifted)
        lines = []
        load_inputs(replace(world(trained, quick_gelu=True), **asked), lines.append)
        return [line for line in lines if "does not lift captions" in line]

    return said


@pytest.mark.parametrize("stand_in", ["tokens", "caption"])
def test_a_backbone_that_lifts_captions_badly_is_named_and_what_else_there_is(stand_in, lift_notes):
    (line,) = lift_notes(5.0, method_options={"stand_in": stand_in})
    assert f"the stand-in {stand_in} may do harm. Try --stand-in reuse too." in line
    assert "notes-true" in line
    cosine = float(line.split("have cosine ")[1].split(" ")[0])
    assert -1 <= cosine < 0.6


def test_nothing_is_said_of_a_lift_that_holds_or_is_not_needed(lift_notes):
    assert lift_notes(0.0) == []
    assert lift_notes(5.0, "searle") == []
    reuse = {"stand_in": "reuse"}
    assert lift_notes(5.0, "searle", method="context_i2w", method_options=reuse) == []


def test_a_method_with_several_other_stand_ins_is_told_of_them(toy_backbone):
    head = ImageHead(torch.nn.LayerNorm(48).requires_grad_(False), torch.randn(48, 32))
    torch.nn.init.normal_(head.norm.bias, std=5)
    toy_backbone.image_head = head
    triplets = [Triplet("a dog", "is red", "a red dog")]
    note = lift_note(get_method("fti4cir"), toy_backbone, triplets)
    assert note.endswith("Try --stand-in reuse or words too.")
    words = get_method("fti4cir").configured({"stand_in": "words"})
    assert lift_note(words, toy_backbone, triplets) is None
