"""Live models: what is recognised, what can be written through, what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rtd_adapters.clip.text import find_tower, to_layout, tower_from_model, tower_from_state_dict
from rtd_adapters.clip.text.activations import recognise_activation
from rtd_adapters.errors import BackboneError

TEXT = {"context_length": 77, "vocab_size": 100, "width": 64, "heads": 2, "layers": 2}
VISION = {"layers": 1, "width": 64, "image_size": 32, "patch_size": 16}

EXPECTED = {
    "open_clip tiny": (64, 3, 2, 48, "quick_gelu", 256),
    "open_clip custom": (64, 3, 2, 48, "quick_gelu", 256),
    "openai": (128, 3, 2, 48, "quick_gelu", 512),
    "transformers eos 2": (64, 3, 2, 48, "quick_gelu", 192),
    "transformers eos 49407": (64, 3, 2, 48, "gelu", 192),
    "transformers tanh": (64, 3, 2, 48, "gelu_tanh", 192),
    "transformers clip": (64, 3, 2, 48, "quick_gelu", 192),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_layout_sizes_heads_and_activation_come_from_the_model(real_clip, name):
    real = real_clip(name)
    live = find_tower(real.model)
    config = live.config
    found = (config.width, config.layers, config.heads, config.embed_dim, config.activation)
    assert (*found, config.mlp_width) == EXPECTED[name]
    assert (config.vocab_size, config.context_length) == (49408, 77)
    assert live.layout == real.layout


@pytest.mark.parametrize("name", EXPECTED)
def test_named_tensors_are_the_models_own(real_clip, name):
    real = real_clip(name)
    live = find_tower(real.model)
    before, tensors = live.state(), live.named_tensors()
    assert tensors.keys() == to_layout(before, live.layout).keys()
    for tensor in tensors.values():
        tensor.fill_(0.5)
    own = real.model.state_dict()
    assert all((own[key] == 0.5).all() for key in tensors)
    assert not any((tensor == 0.5).all() for tensor in before.values())  # copies stay


def test_the_image_side_is_never_among_the_tensors(real_clip):
    for name in ("openai", "open_clip custom", "transformers clip"):
        keys = " ".join(find_tower(real_clip(name).model).named_tensors())
        assert "vis" not in keys
        assert "logit" not in keys


@pytest.mark.parametrize("name", ["openai", "open_clip custom", "transformers clip"])
def test_wrappers_are_seen_through(real_clip, name):
    model = real_clip(name).model
    inner = find_tower(model).named_tensors()
    for wrapped in (nn.DataParallel(model), torch.compile(model)):
        outer = find_tower(wrapped).named_tensors()
        assert inner.keys() == outer.keys()
        assert all(inner[key].data_ptr() == outer[key].data_ptr() for key in inner)


def test_a_vendored_copy_is_known_by_its_parts_not_its_class(real_clip):
    model = real_clip("openai").model
    model.__class__ = type("SomebodysCLIP", (type(model),), {"__module__": "model.model"})
    assert find_tower(model).layout == "openai"


def test_the_state_keeps_the_models_precision(real_clip):
    model = real_clip("open_clip tiny").model.half()
    state = find_tower(model).state()
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}


def test_built_towers_share_nothing_with_the_model_and_can_be_trained(real_clip):
    model = real_clip("openai").model
    for tower in (
        tower_from_model(model),
        tower_from_state_dict(model.state_dict(), heads=2, activation="quick_gelu"),
    ):
        assert not tower.training
        assert all(parameter.requires_grad for parameter in tower.parameters())
        before = {name: tensor.clone() for name, tensor in tower.state_dict().items()}
        for tensor in find_tower(model).named_tensors().values():
            tensor.add_(1)
        assert all(torch.equal(before[k], v) for k, v in tower.state_dict().items())


def open_clip_with(**text):
    from open_clip.model import CustomTextCLIP

    return CustomTextCLIP(48, VISION, TEXT | text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ({}, {}),
        ({"no_causal_mask": True}, {"mask": "none"}),
        ({"no_causal_mask": True, "pool_type": "last"}, {"mask": "none", "pooling": "last"}),
        ({"pool_type": "eos", "eos_id": 2}, {"pooling": "eos", "eos_id": 2}),
        ({"pool_type": "eos", "eos_id": TEXT["vocab_size"] - 1}, {}),
        ({"embed_cls": True}, {"mask": "coca", "pooling": "appended", "pad_id": 0}),
        ({"proj_bias": True}, {"projection": "linear"}),
        ({"proj_type": "none"}, {"projection": "none"}),
        ({"norm_kwargs": {"eps": 1e-6}}, {"eps": 1e-6}),
        ({"act_kwargs": {"approximate": "tanh"}}, {"activation": "gelu_tanh"}),
    ],
)
def test_what_open_clip_builds_otherwise_is_read_off_it(text, found):
    config = find_tower(open_clip_with(**text)).config
    plain = find_tower(open_clip_with()).config
    differ = {n: v for n, v in config.computation.items() if v != plain.computation[n]}
    assert differ == found
    assert config.is_clip == (not set(found) - {"activation"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ({"ls_init_value": 0.1}, r"tensors that .* has not, .*ls_1"),
        ({"embed_cls": True, "correct_cls_mask": True}, "correct_cls_mask"),
        ({"pool_type": "none"}, "pools by 'none'"),
        ({"qk_norm": True}, "is not two linear layers"),
    ],
)
def test_open_clip_towers_of_an_unknown_build_are_refused(text, message):
    model = open_clip_with(**{k: v for k, v in text.items() if k != "correct_cls_mask"})
    if "correct_cls_mask" in text:
        model.text.correct_cls_mask = True
    with pytest.raises(BackboneError, match=message):
        find_tower(model)


def test_transformers_without_a_projection_is_refused():
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(hidden_size=16, num_attention_heads=2, num_hidden_layers=1)
    with pytest.raises(BackboneError, match=r"CLIPTextModelWithProjection|text_projection"):
        find_tower(CLIPTextModel(config))


def test_something_else_is_refused_and_told_what_was_looked_for():
    with pytest.raises(
        BackboneError, match=r"Linear is no model that can be patched.*encoder\.layers.*resblocks"
    ):
        find_tower(nn.Linear(2, 2))


def test_an_unknown_activation_is_refused():
    assert recognise_activation(nn.GELU()) == "gelu"
    with pytest.raises(BackboneError, match="ReLU is none of quick_gelu"):
        recognise_activation(nn.ReLU())
