"""What `rtd patch` says before it trains, where a patch would not be what its user thinks."""

from __future__ import annotations

import json

import pytest
import torch

from rtd_adapters import get_method
from rtd_adapters.clip.shapes import BackboneShape
from rtd_adapters.jobs.inputs import PatchJob, load_inputs


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
