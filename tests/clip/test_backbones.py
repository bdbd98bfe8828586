"""Real backbones: full-size random checkpoints in place of downloads, through the real code."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from rtd_adapters.clip.backbones import load_backbone
from rtd_adapters.clip.text import Tokenizer
from rtd_adapters.errors import BackboneError, FileError
from rtd_adapters.patch import TextEncoderPatch

TRIPLETS = [
    {
        "reference_caption": f"a dog number {number} on the grass",
        "conditioning_caption": "is a cat",
        "target_caption": f"a cat number {number} on the grass",
    }
    for number in range(20)
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "width"), [("ViT-B-32-quickgelu", 512), ("ViT-L-14-quickgelu", 768)]
)
def test_a_full_size_checkpoint_is_patched_from_the_command_line(name, width, tmp_path, searle):
    """Random weights of real size, SEARLE's own checkpoint form, the official triplet file."""
    import open_clip

    from rtd_adapters.cli import main

    torch.manual_seed(0)
    model = open_clip.create_model(name)
    weights = tmp_path / "clip.safetensors"
    save_file({n: t.contiguous() for n, t in model.state_dict().items()}, weights)
    projection = tmp_path / "SEARLE.pt"
    from rtd_adapters import BackboneShape

    phi = searle.build_projection(BackboneShape(width, width, 0))
    torch.save({"epoch": 1, "Phi": phi.state_dict()}, projection)
    triplets = tmp_path / "triplets.json"
    triplets.write_text(json.dumps(TRIPLETS))
    out = tmp_path / "weights.safetensors"
    with pytest.raises(SystemExit) as ended:
        main(
            ["patch", "--method", "searle", "--backbone", name, "--pretrained", str(weights),
             "--projection", str(projection), "--triplets", str(triplets), "--out", str(out),
             "--max-steps", "2", "--batch-size", "2", "--quiet", "--json"]
        )  # fmt: skip
    assert ended.value.code == 0
    patch = TextEncoderPatch.load(out)
    assert patch.metadata.tower["activation"] == "quick_gelu"
    assert len(patch.state_dict("openai")) == 5 + 12 * 12
    kept = {"caption_recall@1", "caption_cosine"}
    figures = patch.metadata.figures
    assert set(figures["after"]) == {f"anchor_recall@{k}" for k in (1, 5, 10)} | kept
    assert figures["before"]["caption_cosine"] == pytest.approx(1, abs=1e-6)
    assert figures["after"]["caption_cosine"] < figures["before"]["caption_cosine"]
    patch.apply(model.eval())
    ids = Tokenizer(77).encode(["a photo of a cat"])
    with torch.no_grad():
        assert torch.allclose(model.encode_text(ids), patch.build_tower()(ids), atol=1e-5)


@pytest.fixture
def tiny_config(tmp_path):
    """An open_clip model-config JSON of a tiny ViT."""
    path = tmp_path / "tiny-vit.json"
    path.write_text(
        json.dumps(
            {
                "embed_dim": 32,
                "quick_gelu": True,
                "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
                "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2,
                             "layers": 2},
            }
        )
    )  # fmt: skip
    return path


@pytest.fixture
def tiny_weights(tiny_config, tmp_path):
    """Random weights for it, as a state dict in a .pt file."""
    import open_clip

    open_clip.add_model_config(tiny_config)
    path = tmp_path / "tiny.pt"
    torch.save(open_clip.create_model("tiny-vit").state_dict(), path)
    return path


def test_a_config_json_and_a_weights_file(tiny_config, tiny_weights):
    backbone = load_backbone(str(tiny_config), str(tiny_weights))
    weights = torch.load(tiny_weights, weights_only=True)
    assert torch.equal(backbone.tower.text_projection, weights["text_projection"])
    assert backbone.tower.config.activation == "quick_gelu"
    assert (backbone.shape.embed_dim, backbone.shape.text_width) == (32, 64)
    assert backbone.shape.image_width == 64
    captions = ["a photo of a dog", "two cats"]
    with torch.no_grad():
        expected = backbone.model.encode_text(Tokenizer(77).encode(captions))
    assert torch.allclose(backbone.embed_captions(captions), expected, atol=1e-5)


def test_a_local_transformers_folder(tmp_path):
    from transformers import CLIPConfig, CLIPModel

    text = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2,
            "num_attention_heads": 2, "projection_dim": 32, "eos_token_id": 49407}  # fmt: skip
    vision = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 1,
              "num_attention_heads": 2, "image_size": 32, "patch_size": 16}  # fmt: skip
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=32)).eval()
    model.save_pretrained(tmp_path / "clip")
    backbone = load_backbone(str(tmp_path / "clip"))
    assert backbone.shape.image_width == 48
    ids = Tokenizer(77).encode(["a photo of a dog"])
    with torch.no_grad():
        output = model.get_text_features(input_ids=ids)
    expected = getattr(output, "pooler_output", output)
    assert torch.allclose(backbone.embed_captions(["a photo of a dog"]), expected, atol=1e-5)

    from safetensors.torch import load_file

    weights = tmp_path / "clip" / "model.safetensors"
    text_only = {n: t for n, t in load_file(weights).items() if not n.startswith("vision")}
    save_file(text_only, weights, metadata={"format": "pt"})
    with pytest.raises(BackboneError, match=r"lacks \d+ tensors .*vision tower"):
        load_backbone(str(tmp_path / "clip"))


def test_openai_tags_get_quick_gelu(monkeypatch):
    """ViT-B-32's config says GELU; the tag's own record says what its weights were trained with."""
    import open_clip

    seen = {}

    def fake(name, **arguments):
        seen.update(arguments, name=name)
        raise RuntimeError("no network in tests")

    monkeypatch.setattr(open_clip, "create_model_and_transforms", fake)
    with pytest.raises(BackboneError, match="no network in tests"):
        load_backbone("ViT-B-32", "openai")
    assert seen["force_quick_gelu"] is True
    with pytest.raises(BackboneError):
        load_backbone("ViT-B-32", "laion2b_s34b_b79k")
    assert seen["force_quick_gelu"] is False


def test_what_is_unknown_or_missing_is_said(tmp_path, tiny_config):
    empty, broken = tmp_path / "empty.pt", tmp_path / "broken.pt"
    empty.write_bytes(b"")
    broken.write_bytes(b"PK\x03\x04 no zip")
    bad_config = tmp_path / "bad.json"
    bad_config.write_text('{"embed_dim": 1}')
    for arguments, kind, words in (
        (("ViT-X-99", "openai"), BackboneError, "Unknown backbone 'ViT-X-99'"),
        (("ViT-B-32", None), BackboneError, "needs --pretrained.*openai"),
        (("ViT-B-32", "no_such_tag"), BackboneError, "neither a file nor a weights tag"),
        (("ViT-B-32", str(empty)), FileError, "empty"),
        (("ViT-B-32", str(broken)), FileError, r"broken\.pt"),
        ((str(tmp_path / "none.json"), "x"), FileError, "is missing"),
        ((str(bad_config), "x"), FileError, "lacks vision_cfg, text_cfg"),
        ((str(tmp_path), None), BackboneError, r"no config\.json"),
        (("demo", "openai"), BackboneError, "brings its own weights"),
    ):
        with pytest.raises(kind, match=words):
            load_backbone(*arguments)


def test_weights_of_another_size_do_not_load(tiny_weights):
    with pytest.raises(BackboneError, match="did not load"):
        load_backbone("ViT-B-32", str(tiny_weights))
