"""Our tower equals the real libraries' own forward, for every way of building one."""

from __future__ import annotations

import gc

import pytest
import torch

from rtd_adapters.clip.text import TextTower, TowerConfig, tower_from_model, tower_from_state_dict
from rtd_adapters.clip.text.attention import Sight

TOLERANCE = 1e-5
PLACEHOLDER = 259  # "$" in OpenAI's vocabulary
SOT, EOT = 49406, 49407

FULL_SIZE = [
    "open_clip ViT-B-32",
    "open_clip ViT-B-32-quickgelu",
    "open_clip ViT-L-14",
    pytest.param("open_clip ViT-H-14", marks=pytest.mark.slow),
]
SMALL = [
    "open_clip custom",
    "openai",
    "transformers eos 2",
    "transformers eos 49407",
    "transformers tanh",
    "transformers clip",
]


def some_ids(texts=4, seed=0, placeholders=0):
    """Random texts of several lengths, one of them full, some with a stray "!" (id 256)."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.zeros(texts, 77, dtype=torch.int64)
    for row, length in enumerate([5, 12, 30, 75][:texts]):
        words = torch.randint(260, 49000, (length,), generator=generator)
        words[1] = 256
        words[2 : 2 + placeholders] = PLACEHOLDER
        ids[row, : length + 2] = torch.tensor([SOT, *words.tolist(), EOT])
    return ids


def agree(real, tower, name, ids, pseudo=None):
    with torch.no_grad():
        if pseudo is None:
            expected, found = real.encode(ids), tower(ids)
        else:
            expected = real.encode_with(ids, pseudo, PLACEHOLDER)
            found = tower(ids, pseudo, PLACEHOLDER)
    if name == "transformers clip":
        found = torch.nn.functional.normalize(found, dim=-1)
    assert expected.abs().max() > 0.1
    return (expected - found).abs().max().item()


@pytest.mark.parametrize("name", FULL_SIZE + SMALL)
def test_tower_equals_the_model_it_was_built_from(real_clip, name):
    real = real_clip(name)
    tower = tower_from_model(real.model)
    width = tower.config.width
    pseudo = torch.randn(4, 1, width, generator=torch.Generator().manual_seed(2))
    assert agree(real, tower, name, some_ids()) <= TOLERANCE
    assert agree(real, tower, name, some_ids(placeholders=1), pseudo) <= TOLERANCE
    del real, tower
    gc.collect()


@pytest.mark.parametrize("name", SMALL)
def test_several_pseudo_tokens_take_their_places_in_order(real_clip, name):
    real = real_clip(name)
    tower = tower_from_model(real.model)
    pseudo = torch.randn(4, 3, tower.config.width, generator=torch.Generator().manual_seed(3))
    ids = some_ids(placeholders=3)
    assert agree(real, tower, name, ids, pseudo) <= TOLERANCE
    with torch.no_grad():
        moved = tower(ids, pseudo.flip(1), PLACEHOLDER) - tower(ids, pseudo, PLACEHOLDER)
    assert moved.abs().max() > 1e-3


@pytest.mark.parametrize("name", SMALL)
def test_tower_from_a_state_dict_equals_the_model(real_clip, name):
    real = real_clip(name)
    config = tower_from_model(real.model).config
    tower = tower_from_state_dict(real.model.state_dict(), config.heads, config.activation)
    assert agree(real, tower, name, some_ids()) <= TOLERANCE


@pytest.mark.parametrize("name", ["openai", "transformers eos 49407"])
def test_the_wrong_activation_is_seen(real_clip, name):
    real = real_clip(name)
    config = tower_from_model(real.model).config
    wrong = "gelu" if config.activation == "quick_gelu" else "quick_gelu"
    tower = tower_from_state_dict(real.model.state_dict(), config.heads, wrong)
    assert agree(real, tower, name, some_ids()) > 1e-3


def test_looking_ahead_would_be_seen(real_clip):
    """The bound is tight enough to catch attention in both directions (transformers 5)."""
    real = real_clip("openai")
    tower = tower_from_model(real.model)
    ids = some_ids()
    with torch.no_grad():
        x = tower.embed(ids) + tower.positional_embedding
        everywhere = torch.ones(77, 77, dtype=torch.bool)
        ahead = tower.pool(tower.ln_final(tower.transformer(x, Sight(mask=everywhere))), ids)
        assert (ahead - real.encode(ids)).abs().max() > 1e-3


def test_a_half_precision_model_gives_its_tower_in_full_precision(real_clip):
    from clip.model import convert_weights

    real = real_clip("openai")
    convert_weights(real.model)
    tower = tower_from_model(real.model)
    assert {parameter.dtype for parameter in tower.parameters()} == {torch.float32}
    real.model.float()
    assert agree(real, tower, "openai", some_ids()) <= TOLERANCE


def test_a_tower_equals_plain_float64_loops():
    """Independent of every library: the transformer written out position by position."""
    torch.manual_seed(0)
    config = TowerConfig(
        8, 2, 2, 6, activation="quick_gelu", vocab_size=20, context_length=7, mlp_width=12
    )
    tower = TextTower(config).double()
    for parameter in tower.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    ids = torch.tensor([[18, 3, 4, 19, 0], [18, 7, 19, 0, 0]])
    expected = torch.stack([plain_embedding(tower, row) for row in ids])
    assert (tower(ids) - expected).abs().max() < 1e-12


def plain_embedding(tower, ids):
    states = [
        tower.token_embedding.weight[token] + tower.positional_embedding[place]
        for place, token in enumerate(ids)
    ]
    for block in tower.transformer.resblocks:
        normed = [layer_norm(block.ln_1, state) for state in states]
        states = [
            state + attend(block.attn, normed[: place + 1]) for place, state in enumerate(states)
        ]
        for place, state in enumerate(states):
            hidden = linear(block.mlp.c_fc, layer_norm(block.ln_2, state))
            hidden = hidden / (1 + torch.exp(-1.702 * hidden))
            states[place] = state + linear(block.mlp.c_proj, hidden)
    eot = ids.tolist().index(max(ids.tolist()))
    return layer_norm(tower.ln_final, states[eot]) @ tower.text_projection


def attend(attention, states):
    size = len(states[0]) // attention.heads
    seen = []
    for head in range(attention.heads):
        part = slice(head * size, (head + 1) * size)
        query = linear(attention.q_proj, states[-1])[part]
        keys = [linear(attention.k_proj, state)[part] for state in states]
        weights = torch.stack([torch.exp(query @ key / size**0.5) for key in keys])
        values = torch.stack([linear(attention.v_proj, state)[part] for state in states])
        seen.append((weights / weights.sum()) @ values)
    return linear(attention.out_proj, torch.cat(seen))


def linear(layer, x):
    return layer.weight @ x + layer.bias


def layer_norm(layer, x):
    centred = x - x.mean()
    return centred / (centred.square().mean() + 1e-5).sqrt() * layer.weight + layer.bias
