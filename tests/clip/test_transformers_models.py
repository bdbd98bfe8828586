"""Backbones of every family from files: texts and pictures as their own libraries embed them,
shapes as they are, and what is refused."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import open_clip
import pytest
import tiny_models
import tiny_tokenizers
import torch
import torch.nn.functional as F
import transformers
from PIL import Image

from rtd_adapters import embed_pictures
from rtd_adapters.clip.backbones import backbone_shape, load_backbone
from rtd_adapters.clip.image_head import UnknownHead, image_head
from rtd_adapters.clip.images import image_states, image_width
from rtd_adapters.errors import BackboneError, FileError, UsageError

TEXTS = ("a photo of the dog", "5$, it's a RED shirt & café ☃", "", "two small stars " * 9)
PICTURES = [Image.effect_mandelbrot((50, 40), (-2, -1, 1, 1), n).convert("RGB") for n in (9, 90)]
BLIND = {"hf-siglip2": "NaFlex", "hf-blip2": "BLIP-2 gives each picture 32 vectors"}
WITH_STATES = {"open_clip-metaclip2", "open_clip-metaclip2-mt5", "hf-clip", "hf-metaclip2"}
WITH_STATES |= {"open_clip-roberta", "open_clip-mt5"}


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """A model of the table, written once."""
    written = {}

    def make(name):
        if name not in written:
            folder = tmp_path_factory.mktemp(name)
            written[name] = tiny_models.MODELS[name].save(f"models-{name}", folder)
        return written[name]

    return make


@pytest.fixture(scope="session")
def loaded(saved):
    """The backbone made of it."""
    backbones = {}

    def make(name):
        if name not in backbones:
            backbones[name] = load_backbone(saved(name).backbone, saved(name).pretrained)
        return backbones[name]

    return make


def own_tokens(saved, name, length):
    """Ids by the library's own tokenizer, as its own documentation calls it."""
    model = tiny_models.MODELS[name]
    if not model.tokenizer:
        return open_clip.get_tokenizer("ViT-B-32", context_length=length)(list(TEXTS))
    if isinstance(model, tiny_models.OpenClip):
        arguments = model.text.get("tokenizer_kwargs", {})
        folder = str(Path(saved.pretrained).parent)
        own = open_clip.tokenizer.HFTokenizer(folder, context_length=length, **arguments)
        return own(list(TEXTS))
    own = transformers.AutoTokenizer.from_pretrained(saved.backbone)
    how = {"padding": "max_length", "truncation": True, "max_length": length}
    return own(list(TEXTS), return_tensors="pt", **how)["input_ids"]


def own_texts(model, name, ids):
    """Unit vectors by the whole model's forward or its own method."""
    pixels = torch.zeros(1, 3, 32, 32)
    match name:
        case "hf-blip":
            states = model.text_encoder(input_ids=ids, attention_mask=(ids != 0).long())
            return F.normalize(model.text_proj(states.last_hidden_state[:, 0]), dim=-1)
        case "hf-blip2":
            made = model(
                pixel_values=pixels.expand(len(ids), -1, -1, -1),
                input_ids=ids,
                attention_mask=(ids != 0).long(),
                use_image_text_matching_head=False,
            )
            return F.normalize(made.text_embeds, dim=-1)
        case "hf-siglip2":
            return F.normalize(model.get_text_features(input_ids=ids).pooler_output, dim=-1)
        case _ if name.startswith("open_clip"):
            return model.encode_text(ids, normalize=True)
        case _:
            return model(input_ids=ids, pixel_values=pixels).text_embeds


@torch.no_grad()
@pytest.mark.filterwarnings("ignore:A text of")
@pytest.mark.parametrize("name", tiny_models.MODELS)
def test_texts_are_embedded_as_by_their_own_library(name, saved, loaded):
    backbone = loaded(name)
    ids = own_tokens(saved(name), name, backbone.tower.config.context_length)
    assert torch.equal(backbone.tower.tokenizer().encode(TEXTS), ids)
    expected = own_texts(saved(name).model, name, ids)
    assert expected.std(0).mean() > 1e-3
    found = F.normalize(backbone.embed_captions(TEXTS), dim=-1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", tiny_models.MODELS)
def test_shapes_are_known_without_weights(name, saved, loaded):
    shape = loaded(name).shape
    assert backbone_shape(saved(name).backbone) == shape
    assert shape.image_width == (64 if name in WITH_STATES else 0)


def own_pictures(saved, name):
    """Unit vectors by the library's own transform and forward."""
    model = saved.model
    if name.startswith("open_clip"):
        transform = open_clip.image_transform(model.visual.image_size, is_train=False)
        pixels = torch.stack([transform(picture) for picture in PICTURES])
        return model.encode_image(pixels, normalize=True)
    processor = transformers.AutoImageProcessor.from_pretrained(saved.backbone)
    pixels = processor(images=PICTURES, return_tensors="pt")["pixel_values"]
    ids = torch.tensor([[3, 9, 4]])
    if name == "hf-blip":
        model.text_proj, kept = torch.nn.Identity(), model.text_proj
        asked = {"input_ids": ids.expand(64, -1), "use_itm_head": False}
        model.text_encoder, encoder = _Axes(), model.text_encoder
        try:
            return model(pixel_values=pixels, **asked).itm_score
        finally:
            model.text_proj, model.text_encoder = kept, encoder
    return model(pixel_values=pixels, input_ids=ids).image_embeds


class _Axes(torch.nn.Module):
    """Texts whose embeddings are the axes, so that scores are a picture's coordinates."""

    def forward(self, **_):
        return transformers.modeling_outputs.BaseModelOutput(torch.eye(64)[:, None])


@torch.no_grad()
@pytest.mark.parametrize("name", sorted(tiny_models.MODELS.keys() - BLIND.keys()))
def test_pictures_are_embedded_as_by_their_own_library(name, saved, loaded):
    expected = own_pictures(saved(name), name)
    assert (expected[0] - expected[1]).abs().max() > 1e-3
    found = F.normalize(embed_pictures(loaded(name), PICTURES), dim=-1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "why"), BLIND.items())
def test_pictures_that_rtd_does_not_feed_are_refused_with_the_reason(name, why, loaded):
    with pytest.raises(UsageError, match=f"has no image tower for rtd: .*{why}"):
        embed_pictures(loaded(name), PICTURES)
    with pytest.raises(BackboneError, match=why):
        loaded(name).image_head.lift(torch.zeros(1, 64))


@pytest.mark.parametrize("name", ["hf-siglip", "hf-blip", "open_clip-siglip2", "open_clip-clipa"])
def test_other_image_towers_have_no_states(name, loaded):
    backbone = loaded(name)
    assert isinstance(backbone.image_head, UnknownHead)
    kind = {"hf-siglip": "SiglipVision", "hf-blip": "BlipVision"}.get(name, "")
    with pytest.raises(BackboneError, match=f"image tower {kind}.* has no projection rtd knows"):
        backbone.image_head.lift(torch.zeros(1, 64))
    with pytest.raises(BackboneError, match=f"image tower {kind}.* has no projection"):
        image_width(backbone.model)
    with pytest.raises(BackboneError, match="has no patch states"):
        image_states(backbone.model, torch.zeros(1, 3, 32, 32))


def test_a_vision_transformer_that_computes_otherwise_has_no_head(saved, loaded):
    """Its parts are CLIP's, and its embedding is not of its first state."""
    model = loaded("open_clip-metaclip2").model
    assert image_head(model).patches == 4
    pooled = model.visual._pool
    model.visual._pool = lambda x: tuple(reversed([x[:, 1:], x[:, -1]]))
    try:
        with pytest.raises(BackboneError, match="something else than its first state"):
            image_head(model)
    finally:
        model.visual._pool = pooled


# Pictures of weights in files


def test_a_files_pictures_are_prepared_as_the_models_tags_want_them(monkeypatch, tmp_path):
    from rtd_adapters.clip.open_clip_pictures import picture_settings

    weights = tmp_path / "weights.pt"
    half = (0.5, 0.5, 0.5)
    squash = {"image_mean": half, "image_std": half, "image_resize_mode": "squash"}
    siglip = picture_settings("ViT-B-16-SigLIP2", weights)
    assert siglip == squash | {"image_interpolation": "bicubic"}
    assert picture_settings("PE-Core-B-16", weights) == squash | {"image_interpolation": "bilinear"}
    openai = picture_settings("ViT-B-32", weights)
    assert openai["image_mean"] == open_clip.OPENAI_DATASET_MEAN
    assert picture_settings("ViT-L-14", weights) == {}, "its tags differ"
    assert picture_settings("no-such-model", weights) == {}


def test_the_config_beside_the_weights_decides_on_pictures(tmp_path):
    config = tmp_path / "tiny-pictures.json"
    vision, text = tiny_models.VIT, tiny_models.TEXT
    config.write_text(json.dumps({"embed_dim": 64, "vision_cfg": vision, "text_cfg": text}))
    open_clip.add_model_config(config)
    torch.save(open_clip.create_model(config.stem).state_dict(), tmp_path / "weights.pt")
    beside = tmp_path / "open_clip_config.json"
    beside.write_text(
        json.dumps(
            {"preprocess_cfg": {"mean": [0.1] * 3, "std": [0.2] * 3, "resize_mode": "squash"}}
        )
    )
    backbone = load_backbone(str(config), str(tmp_path / "weights.pt"))
    black = backbone.preprocess(Image.new("RGB", (60, 20)))
    torch.testing.assert_close(black, torch.full((3, 32, 32), -0.1 / 0.2))
    beside.write_text("{")
    with pytest.raises(FileError, match=r"open_clip_config\.json is not valid JSON"):
        load_backbone(str(config), str(tmp_path / "weights.pt"))


@pytest.mark.parametrize("name", ["hf-clip", "hf-siglip", "hf-blip"])
def test_a_folder_without_a_processor_gets_its_kinds_own(name, tmp_path):
    made = tiny_models.MODELS[name].save("no-processor", tmp_path)
    expected = load_backbone(made.backbone).preprocess(PICTURES[0])
    (tmp_path / "preprocessor_config.json").unlink()
    found = load_backbone(made.backbone).preprocess(PICTURES[0])
    torch.testing.assert_close(found, expected)


# What is refused


@pytest.mark.parametrize("kind", ["altclip", "chinese_clip", "flava", "bert"])
def test_a_folder_of_another_family_is_named(kind, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    for ask in (load_backbone, backbone_shape):
        with pytest.raises(BackboneError, match=f"holds a '{kind}'; rtd knows clip, .*blip-2"):
            ask(str(tmp_path))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("{", "config.json is not valid JSON"),
        ("[]", "holds no object"),
        ("{}", "is of no model that transformers knows"),
        ('{"model_type": "clip", "text_config": {"vocab_size": 99999999999}}', "vocab_size is"),
        ("[" * 100_000, "is not valid JSON"),
    ],
)
def test_a_damaged_config_is_said_in_a_line(config, words, tmp_path):
    (tmp_path / "config.json").write_text(config)
    for ask in (load_backbone, backbone_shape):
        with pytest.raises((BackboneError, FileError), match=words):
            ask(str(tmp_path))


@pytest.mark.parametrize("kind", ["clip", "brand-new"])
def test_code_that_comes_with_a_model_is_never_run(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    made = tiny_models.MODELS["hf-clip"].save("code", tmp_path)
    marker = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"import pathlib\npathlib.Path({str(marker)!r}).touch()")
    path = tmp_path / "config.json"
    code = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"auto_map": code, "model_type": kind})
    )
    processor = tmp_path / "preprocessor_config.json"
    other = {"auto_map": {"AutoImageProcessor": "evil.P"}, "image_processor_type": "Evil"}
    processor.write_text(json.dumps(json.loads(processor.read_text()) | other))
    with pytest.raises(BackboneError, match=r"custom code|no model that transformers"):
        load_backbone(made.backbone)
    assert not marker.exists()


def test_a_damaged_image_processor_is_said_in_a_line(tmp_path):
    made = tiny_models.MODELS["hf-siglip"].save("broken", tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(BackboneError, match=r"no image processor that loads .*Put preprocessor"):
        load_backbone(made.backbone)


@pytest.mark.parametrize("name", ["hf-siglip", "hf-blip", "hf-metaclip2"])
def test_a_folder_that_lacks_tensors_is_not_filled_with_random_numbers(name, tmp_path):
    from safetensors.torch import load_file, save_file

    made = tiny_models.MODELS[name].save("lacks", tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    gone = next(key for key in tensors if "text" in key and key.endswith("bias"))
    del tensors[gone]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneError, match="lacks 1 tensors"):
        load_backbone(made.backbone)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(BackboneError, match="does not load as a transformers"):
        load_backbone(made.backbone)


@pytest.mark.parametrize("name", ["hf-siglip", "hf-blip"])
def test_a_folder_without_its_tokenizer_is_told_what_to_add(name, tmp_path):
    made = tiny_models.MODELS[name].save("no-tokenizer", tmp_path)
    for path in tmp_path.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(BackboneError, match=r"has no tokenizer\. Put tokenizer\.json and"):
        load_backbone(made.backbone)


def test_a_text_encoder_whose_config_is_nowhere_is_told_what_to_fetch(tmp_path):
    config = tmp_path / "tiny-nowhere.json"
    text = tiny_models.NAMED | {"hf_model_name": "nobody/roberta"}
    config.write_text(
        json.dumps({"embed_dim": 64, "vision_cfg": tiny_models.VIT, "text_cfg": text})
    )
    (tmp_path / "weights.pt").touch()
    words = (
        r"text encoder of nobody/roberta, whose config\.json is not .*name the folder as hf_model"
    )
    with pytest.raises(BackboneError, match=words):
        backbone_shape(str(config))
    with pytest.raises(BackboneError, match=words):
        load_backbone(str(config), str(tmp_path / "weights.pt"))


def test_a_folder_with_another_models_tokenizer_is_refused(tmp_path):
    made = tiny_models.MODELS["hf-blip"].save("other-tokenizer", tmp_path)
    tiny_tokenizers.roberta(tmp_path)
    with pytest.raises(BackboneError, match="use the model's own tokenizer"):
        load_backbone(made.backbone)


def test_loading_a_folder_says_nothing(saved, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_backbone(saved("hf-blip").backbone)
    assert capfd.readouterr() == ("", "")
