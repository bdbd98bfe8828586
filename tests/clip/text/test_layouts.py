"""Layouts: the names real libraries use, round trips bit for bit, and what is refused."""

from __future__ import annotations

import pytest
import torch

from rtd_adapters.clip.text import (
    TextTower,
    TowerConfig,
    detect_layout,
    from_layout,
    get_layout,
    to_layout,
    tower_from_state_dict,
)
from rtd_adapters.errors import BackboneError

REAL = {
    "open_clip tiny": "openai",
    "openai": "openai",
    "open_clip custom": "open_clip_custom",
    "transformers eos 2": "hf",
    "transformers clip": "hf",
}
LAYOUTS = ("openai", "open_clip_custom", "hf")
"""That hold a CLIP."""
IMAGE_SIDE = ("visual.", "vision_model.", "visual_projection.", "logit_scale")


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


@pytest.fixture
def state():
    torch.manual_seed(0)
    tower = TextTower(TowerConfig(16, 3, 4, 12, "gelu", vocab_size=60, context_length=20))
    return {name: torch.randn_like(tensor) for name, tensor in tower.state_dict().items()}


@pytest.mark.parametrize("name", REAL)
def test_real_state_dicts_go_there_and_back_bit_for_bit(real_clip, name):
    full = real_clip(name).model.state_dict()
    text = {key: value for key, value in full.items() if not key.startswith(IMAGE_SIDE)}
    layout, tower_state = from_layout(full)
    assert layout == detect_layout(full) == REAL[name]
    assert same(to_layout(tower_state, layout), text)


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("via", LAYOUTS)
def test_a_detour_through_any_layout_changes_no_bit(real_clip, name, via):
    _, tower_state = from_layout(real_clip(name).model.state_dict())
    layout, back = from_layout(to_layout(tower_state, via))
    assert layout == via
    assert same(back, tower_state)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_tower_written_for_another_library_computes_the_same_there(real_clip, layout):
    """OpenAI's tower into each library's own module, loaded by that library."""
    source = real_clip("openai")
    _, state = from_layout(source.model.state_dict())
    ids = torch.zeros(2, 77, dtype=torch.int64)
    ids[0, :4] = torch.tensor([49406, 320, 1125, 49407])
    ids[1, :6] = torch.tensor([49406, 256, 539, 320, 1929, 49407])
    encode = _library(layout, to_layout(state, layout))
    with torch.no_grad():
        assert (encode(ids) - source.encode(ids)).abs().max() <= 1e-5


def _library(layout, tensors):
    """A fresh model of the layout's library, of the sizes of conftest's `openai`, filled."""
    sizes = {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 3}
    vision = {"layers": 1, "width": 64, "image_size": 32, "patch_size": 16}
    if layout == "hf":
        from transformers import CLIPTextConfig, CLIPTextModelWithProjection

        config = CLIPTextConfig(
            hidden_size=128,
            intermediate_size=512,
            num_hidden_layers=3,
            num_attention_heads=2,
            hidden_act="quick_gelu",
            projection_dim=48,
            vocab_size=49408,
            eos_token_id=2,
        )
        text = CLIPTextModelWithProjection(config).eval()
        text.load_state_dict(tensors, strict=True)
        return lambda ids: text(input_ids=ids).text_embeds
    from open_clip.model import CLIP, CustomTextCLIP

    kind = CLIP if layout == "openai" else CustomTextCLIP
    model = kind(48, vision, sizes, quick_gelu=True).eval()
    report = model.load_state_dict(tensors, strict=False)
    assert not report.unexpected_keys
    assert all(key.startswith(IMAGE_SIDE) for key in report.missing_keys)
    return model.encode_text


@pytest.mark.parametrize("layout", LAYOUTS)
def test_wrapping_prefixes_and_the_image_side_are_passed_over(state, layout):
    tensors = to_layout(state, layout) | {
        "logit_scale": torch.ones(()),
        "visual.proj": state["ln_final.bias"],
    }
    parallel = {f"module.{name}": tensor for name, tensor in tensors.items()}
    for wrapped in (
        parallel,
        {f"_orig_mod.{name}": tensor for name, tensor in tensors.items()},
        {"state_dict": parallel, "epoch": 3, "state_dict_img2text": {"w": torch.ones(1)}},
        {"epoch": 3, "CLIPTextModelWithProjection": tensors},
    ):
        found, back = from_layout(wrapped)
        assert found == layout
        assert same(back, state)


def test_transformers_keys_without_their_prefix_and_with_position_ids_are_read(state):
    tensors = to_layout(state, "hf")
    bare = {name.removeprefix("text_model."): tensor for name, tensor in tensors.items()}
    old = tensors | {"text_model.embeddings.position_ids": torch.arange(20)[None]}
    for variant in (bare, old):
        layout, back = from_layout(variant)
        assert layout == "hf"
        assert same(back, state)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_missing_tensors_are_named_and_counted(state, layout):
    tensors = to_layout(state, layout)
    gone = [name for name in tensors if "1" in name.split(".") or "projection" in name]
    for name in gone:
        del tensors[name]
    with pytest.raises(
        BackboneError, match=rf"{layout}.*lacks {len(gone)} tensors: .*and \d+ more"
    ):
        from_layout(tensors)


def test_a_transformers_tower_without_its_projection_is_refused(state):
    tensors = to_layout(state, "hf")
    del tensors["text_projection.weight"]
    with pytest.raises(BackboneError, match=r"lacks 1 tensors: text_projection\.weight"):
        from_layout(tensors)


def test_a_tower_without_blocks_is_refused(state):
    top = {name: tensor for name, tensor in state.items() if "resblocks" not in name}
    with pytest.raises(BackboneError, match="no blocks"):
        from_layout(top)


def test_something_else_is_refused_with_its_keys():
    with pytest.raises(BackboneError, match=r"No text tower.*layers\.0\.weight"):
        from_layout({"layers.0.weight": torch.ones(2, 2)})
    with pytest.raises(BackboneError, match="there are none"):
        detect_layout([])


def test_an_unknown_layout_and_one_that_cannot_hold_the_tower_are_refused(state):
    with pytest.raises(BackboneError, match=r"'onnx'.*openai, open_clip_custom, hf"):
        to_layout(state, "onnx")
    with pytest.raises(BackboneError, match=r"blip has no ln_final\.weight"):
        to_layout(state, "blip")
    del state["transformer.resblocks.1.attn.k_proj.bias"]
    with pytest.raises(BackboneError, match=r"lacks a part of .*1\.attn\.in_proj_bias"):
        to_layout(state, "openai")


def test_tensors_that_do_not_fit_together_are_refused(state):
    tensors = to_layout(state, "openai")
    tensors["ln_final.weight"] = torch.ones(15)
    with pytest.raises(BackboneError, match=r"ln_final\.weight"):
        tower_from_state_dict(tensors, heads=4, activation="gelu")


def test_module_names_of_transformers_exist_in_its_model(real_clip):
    theirs = dict(real_clip("transformers eos 2").model.named_modules())
    ours = TextTower(TowerConfig(64, 3, 2, 48, "quick_gelu", mlp_width=192, vocab_size=10))
    linear = [n for n, m in ours.named_modules() if isinstance(m, torch.nn.Linear)]
    assert len(linear) == 18
    for name in linear:
        assert (
            theirs[get_layout("hf").module(name)].weight.shape
            == ours.get_submodule(name).weight.shape
        )
