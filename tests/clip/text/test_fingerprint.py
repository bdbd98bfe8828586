"""Fingerprints: what they depend on, and how half precision is matched."""

from __future__ import annotations

import time

import pytest
import torch

from rtd_adapters.clip.text import TextTower, TowerConfig, fingerprint, from_layout, same_tower

HALF = {"fp16": torch.float16, "bf16": torch.bfloat16}


@pytest.fixture
def state():
    torch.manual_seed(0)
    tower = TextTower(TowerConfig(16, 2, 4, 12, "gelu", vocab_size=60, context_length=20))
    return {name: tensor.detach() for name, tensor in tower.state_dict().items()}


def cast(state, dtype):
    return {name: tensor.to(dtype) for name, tensor in state.items()}


def test_order_and_memory_layout_do_not_matter(state):
    shuffled = {name: state[name].clone() for name in reversed(state)}
    shuffled["text_projection"] = shuffled["text_projection"].T.contiguous().T
    assert fingerprint(shuffled) == fingerprint(state)


@pytest.mark.parametrize("place", [0, -1])
def test_every_tensor_counts_to_the_last_bit(state, place):
    expected = fingerprint(state)
    assert any("resblocks.1.attn" in name for name in state)
    for name, tensor in state.items():
        changed = tensor.clone()
        value = changed.view(-1)[place]
        changed.view(-1)[place] = torch.nextafter(value, value + 1)
        assert fingerprint(state | {name: changed})["fp32"] != expected["fp32"], name
        assert not same_tower(expected, state | {name: changed}), name


def test_names_and_shapes_count(state):
    renamed = dict(state)
    renamed["ln_last.bias"] = renamed.pop("ln_final.bias")
    turned = state | {"text_projection": state["text_projection"].reshape(12, 16)}
    assert len({fingerprint(s)["fp32"] for s in (state, renamed, turned)}) == 3


@pytest.mark.parametrize("precision", HALF)
def test_a_model_in_half_precision_matches_its_base(state, precision):
    expected, half = fingerprint(state), cast(state, HALF[precision])
    assert fingerprint(half)[precision] == expected[precision]
    assert fingerprint(half)["fp32"] != expected["fp32"]
    assert same_tower(expected, half)
    assert same_tower(expected, cast(half, torch.float32))  # rounded, then .float()
    half["ln_final.weight"] = half["ln_final.weight"] + 0.25
    assert not same_tower(expected, half)
    assert not same_tower(expected, cast(half, torch.float32))


def test_openais_mixed_precision_matches_its_base(real_clip):
    """convert_weights rounds the matrices and leaves LayerNorms and embeddings alone."""
    from clip.model import convert_weights

    model = real_clip("openai").model
    expected = fingerprint(from_layout(model.state_dict())[1])
    convert_weights(model)
    assert same_tower(expected, from_layout(model.state_dict())[1])
    assert same_tower(expected, from_layout(model.float().state_dict())[1])


def test_a_small_change_in_full_precision_is_no_match(state):
    expected = fingerprint(state)
    changed = state | {"ln_final.weight": state["ln_final.weight"] + 1e-6}
    assert fingerprint(changed)["fp16"] == expected["fp16"]
    assert not same_tower(expected, changed)


def test_a_large_tower_takes_seconds():
    """123.65 M parameters (ViT-L/14) in all three precisions: 0.8 s on one idle core."""
    rows = 123_650_304 // 768
    state = {"token_embedding.weight": torch.zeros(rows, 768)}
    start = time.perf_counter()
    fingerprint(state)
    assert time.perf_counter() - start < 10
