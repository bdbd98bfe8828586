"""Backbones whose image tower rtd does not know, or which have none."""

from __future__ import annotations

import json

import open_clip
import pytest
import torch
from PIL import Image

from rtd_adapters import embed_composed, embed_pictures, get_method
from rtd_adapters.clip.backbones import backbone_shape, load_backbone
from rtd_adapters.clip.text import Tokenizer, to_layout
from rtd_adapters.errors import BackboneError, UsageError
from rtd_adapters.jobs.inputs import PatchJob
from rtd_adapters.jobs.patch import run_patch
from rtd_adapters.methods.projections import open_projection
from rtd_adapters.training import RunOptions, TrainingSettings

TEXT = {"width": 64, "heads": 2, "layers": 2}
TIMM = {"timm_model_name": "test_vit", "timm_pool": "", "timm_proj": "linear", "image_size": 160}
VIT = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16}
TEXT_ONLY = "its weights hold a text tower only"


@pytest.fixture
def built(tmp_path):
    """Writes config and random weights of a tiny open_clip model; returns model and both paths."""

    def build(name, vision, **more):
        config = {"embed_dim": 32, "quick_gelu": True, "vision_cfg": vision, "text_cfg": TEXT}
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(config | more))
        open_clip.add_model_config(path)
        model = open_clip.create_model(name).eval()
        torch.save(model.state_dict(), tmp_path / f"{name}.pt")
        return model, str(path), str(tmp_path / f"{name}.pt")

    return build


@pytest.fixture
def job(tmp_path):
    """A short `rtd patch` with a backbone's config and weights."""

    def make(method, config, weights):
        backbone = load_backbone(config, weights)
        projection = tmp_path / "projection.pt"
        torch.save(get_method(method).build_projection(backbone.shape).state_dict(), projection)
        rows = [
            {
                "reference_caption": f"a dog {number}",
                "conditioning_caption": "is red",
                "target_caption": f"a red dog {number}",
            }
            for number in range(40)
        ]
        triplets = tmp_path / "triplets.jsonl"
        triplets.write_text("\n".join(map(json.dumps, rows)))
        return PatchJob(
            method,
            tmp_path / "w.safetensors",
            backbone=config,
            pretrained=weights,
            projection=projection,
            triplets=triplets,
            settings=TrainingSettings(steps=1, batch_size=4),
            options=RunOptions(quiet=True),
        )

    return make


def test_a_timm_image_tower_serves_methods_that_read_embeddings(built, job):
    model, config, weights = built("other-timm", TIMM)
    backbone = load_backbone(config, weights)
    assert backbone.shape.image_width == 0 == backbone_shape(config).image_width
    picture = Image.new("RGB", (160, 160), "red")
    pixels = backbone.preprocess(picture)[None]
    with torch.no_grad():
        expected = model.encode_image(pixels)
    torch.testing.assert_close(embed_pictures(backbone, [picture]), expected, atol=1e-5, rtol=0)
    assert run_patch(job("searle", config, weights)).after
    searle = get_method("searle")
    module = searle.build_projection(backbone.shape).eval()
    assert embed_composed(searle, module, backbone, [picture], ["is blue"]).shape == (1, 32)


def test_a_method_that_reads_states_is_refused_with_such_a_tower(built, tmp_path):
    _, config, weights = built("other-timm-states", TIMM)
    backbone = load_backbone(config, weights)
    with pytest.raises(BackboneError, match="context_i2w reads an image tower's states"):
        open_projection(get_method("context_i2w"), tmp_path / "any.pt", backbone.shape)
    with pytest.raises(BackboneError, match="TimmModel has no projection rtd knows"):
        backbone.image_head.lift(torch.zeros(1, 32))


@pytest.mark.parametrize("layout", ["openai", "hf"])
def test_a_text_tower_alone_is_enough_for_a_patch(layout, built, job, tmp_path):
    model, config, weights = built("text-only", VIT)
    backbone = load_backbone(config, weights)
    weights = str(tmp_path / "text.pt")
    torch.save({"state_dict": to_layout(backbone.tower.state_dict(), layout)}, weights)
    alone = load_backbone(config, weights)
    ids = Tokenizer(77).encode(["a photo of a dog"])
    with torch.no_grad():
        torch.testing.assert_close(alone.tower(ids), model.encode_text(ids), atol=1e-5, rtol=0)
    assert alone.tower.config.activation == "quick_gelu"
    assert run_patch(job("searle", config, weights)).after
    with pytest.raises(UsageError, match=TEXT_ONLY):
        embed_pictures(alone, [Image.new("RGB", (32, 32))])
    with pytest.raises(BackboneError, match=TEXT_ONLY):
        alone.image_head.lift(torch.zeros(1, 32))


def test_an_evaluation_with_a_text_tower_alone_is_refused(built, tmp_path, benchmark_folder):
    from rtd_adapters.evaluation.inputs import prepare

    model, config, _ = built("text-only-eval", VIT)
    text = {n: t for n, t in model.state_dict().items() if not n.startswith("visual.")}
    torch.save(text, tmp_path / "text.pt")
    with pytest.raises(UsageError, match=TEXT_ONLY):
        prepare(
            method="searle",
            benchmark="circo",
            data=benchmark_folder("circo"),
            backbone=config,
            pretrained=str(tmp_path / "text.pt"),
        )


def test_a_text_tower_of_another_size_is_refused(built, tmp_path):
    model, config, _ = built("text-only-size", VIT)
    text = {n: t for n, t in model.state_dict().items() if not n.startswith("visual.")}
    shallow = {n: t for n, t in text.items() if "resblocks.1." not in n}
    narrow = text | {"text_projection": torch.zeros(64, 16)}
    for state, words in ((shallow, "another number than the 2"), (narrow, "text_projection")):
        torch.save(state, tmp_path / "other.pt")
        with pytest.raises(BackboneError, match=words):
            load_backbone(config, str(tmp_path / "other.pt"))


def test_weights_that_do_not_fit_are_named_by_their_first_keys(built, tmp_path):
    model, config, _ = built("misfit", VIT)
    state = model.state_dict()
    del state["visual.ln_post.weight"]
    state["visual.extra"] = torch.zeros(1)
    torch.save(state, tmp_path / "misfit.pt")
    with pytest.raises(BackboneError, match=r"ln_post\.weight.*Unexpected.*visual\.extra"):
        load_backbone(config, str(tmp_path / "misfit.pt"))
