"""The networks of Context-I2W and FTI4CIR: published tensors, and what they compute by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import layer_norm

from rtd_adapters import BackboneShape, get_method

PUBLISHED = BackboneShape(embed_dim=768, text_width=768, image_width=1024)
SMALL = BackboneShape(embed_dim=12, text_width=10, image_width=16)


def linear(name, out, inner, bias=True):
    return {f"{name}.weight": (out, inner)} | ({f"{name}.bias": (out,)} if bias else {})


def norm(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def context_i2w_tensors():
    """Names and shapes of the checkpoint for ViT-L/14."""
    shapes = linear("to_c", 1024, 768, bias=False)
    shapes |= {"W_R.weight_g": (1024, 1), "W_R.weight_v": (1024, 1024)}
    shapes |= norm("ln_post", 1024) | norm("ln_post_local", 1024)
    shapes |= {"proj": (1024, 768), "proj_local": (1024, 768), "local_gate": (1,)}
    shapes |= {"VT_Extractor.latents": (4, 1024)} | norm("VT_Extractor.norm", 1024)
    for layer in range(6):
        part = f"VT_Extractor.layers.{layer}"
        shapes |= norm(f"{part}.0.norm_media", 1024) | norm(f"{part}.0.norm_latents", 1024)
        shapes |= linear(f"{part}.0.to_q", 512, 1024, bias=False)
        shapes |= linear(f"{part}.0.to_kv", 1024, 1024, bias=False)
        shapes |= linear(f"{part}.0.to_out", 1024, 512, bias=False)
        shapes |= norm(f"{part}.1.0", 1024)
        shapes |= linear(f"{part}.1.1", 4096, 1024, bias=False)
        shapes |= linear(f"{part}.1.3", 1024, 4096, bias=False)
    for side in ("", "_local"):
        shapes |= linear(f"layers{side}.0.0", 512, 768) | linear(f"layers{side}.1.0", 512, 512)
        shapes |= linear(f"fc_out{side}", 768, 512)
    return shapes


def fti4cir_tensors():
    """Names and shapes of the checkpoint for ViT-L/14, and the two numbers beside it."""
    shapes = {"templates": (1, 24, 1024), "selection": (2,)}
    shapes |= linear("local_atte_fc.0", 768, 1024)
    for phi in ("phi_s", "phi_a"):
        shapes |= linear(f"{phi}.layers.0", 3072, 768) | linear(f"{phi}.layers.3", 3072, 3072)
        shapes |= linear(f"{phi}.layers.6", 768, 3072)
    for layer in range(3):
        part = f"transformer.layers.{layer}"
        shapes |= norm(f"{part}.norm1", 1024) | norm(f"{part}.norm2", 1024)
        shapes |= linear(f"{part}.attn.to_queries", 1024, 1024, bias=False)
        shapes |= linear(f"{part}.attn.to_keys_values", 2048, 1024, bias=False)
        shapes |= linear(f"{part}.attn.project", 1024, 1024)
        shapes |= linear(f"{part}.mlp.fc1", 2048, 1024) | linear(f"{part}.mlp.fc2", 1024, 2048)
    return shapes


@pytest.mark.parametrize(
    ("name", "expected", "dropout"),
    [
        ("context_i2w", context_i2w_tensors(), [0.1] * 4),
        ("fti4cir", fti4cir_tensors(), [0.5] * 4),
    ],
)
def test_the_network_has_the_published_tensors(name, expected, dropout):
    with torch.device("meta"):
        network = get_method(name).build_projection(PUBLISHED)
    assert {key: tuple(t.shape) for key, t in network.state_dict().items()} == expected
    assert [m.p for m in network.modules() if isinstance(m, torch.nn.Dropout)] == dropout


@pytest.fixture
def network():
    """Makes a small network with weights of its own, and gives them by name."""

    def make(name):
        torch.manual_seed(2)
        made = get_method(name).build_projection(SMALL).double().eval().requires_grad_(False)
        weights = made.state_dict()
        for key, value in weights.items():
            if key != "selection":
                value.add_(torch.randn(value.shape) * 0.3)
        return made, weights

    return make


def normed(weights, name, x):
    return layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])


def applied(weights, name, x):
    return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0)


def gelu(x):
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def attended(q, k, v):
    """One head's attention of q [n, w] to k and v [m, w], row by row."""
    return torch.stack([torch.softmax(k @ row / q.shape[-1] ** 0.5, 0) @ v for row in q])


def rotated_by_hand(w, context, states):
    """One picture's pseudo token."""
    turn = w["W_R.weight_g"] * w["W_R.weight_v"] / w["W_R.weight_v"].norm(dim=1, keepdim=True)
    turned = (states @ turn.T) * applied(w, "to_c", context)
    latents = w["VT_Extractor.latents"]
    for layer in range(6):
        part = f"VT_Extractor.layers.{layer}"
        own = normed(w, f"{part}.0.norm_latents", latents)
        seen = torch.cat([normed(w, f"{part}.0.norm_media", turned[1:]), own])
        q, kv = applied(w, f"{part}.0.to_q", own), applied(w, f"{part}.0.to_kv", seen)
        heads = q.shape[1] // 64
        gathered = torch.cat(
            [
                attended(*(x[:, h * 64 : (h + 1) * 64] for x in (q, *kv.chunk(2, 1))))
                for h in range(heads)
            ],
            dim=1,
        )
        latents = latents + applied(w, f"{part}.0.to_out", gathered)
        inner = applied(w, f"{part}.1.1", normed(w, f"{part}.1.0", latents))
        latents = latents + applied(w, f"{part}.1.3", gelu(inner))
    local = normed(w, "VT_Extractor.norm", latents).mean(0)
    sides = {
        "": normed(w, "ln_post", turned[0]) @ w["proj"],
        "_local": normed(w, "ln_post_local", local) @ w["proj_local"],
    }
    for side, x in sides.items():
        for block in range(2):
            x = applied(w, f"layers{side}.{block}.0", x).clamp_min(0)
        sides[side] = applied(w, f"fc_out{side}", x)
    return sides[""] + torch.tanh(w["local_gate"]) * sides["_local"]


@pytest.mark.parametrize("heads", [1, 3])
def test_context_i2w_by_hand(heads):
    from rtd_plugins.context_i2w.rotator import ContextRotator

    torch.manual_seed(2)
    made = ContextRotator(12, 10, 16, heads).double().eval().requires_grad_(False)
    weights = made.state_dict()
    for value in weights.values():
        value.add_(torch.randn(value.shape) * 0.3)
    context, states = torch.randn(3, 12).double(), torch.randn(3, 6, 16).double()
    expected = [rotated_by_hand(weights, *row) for row in zip(context, states, strict=True)]
    torch.testing.assert_close(made(context, states), torch.stack(expected))


def test_fti4cirs_local_features_by_hand(network):
    made, w = network("fti4cir")
    states = torch.randn(2, 6, 16).double()
    for row, found in zip(states, made.local_features(states), strict=True):
        x = torch.cat([w["templates"][0], row])
        for layer in range(3):
            part = f"transformer.layers.{layer}"
            own = normed(w, f"{part}.norm1", x)
            k, v = applied(w, f"{part}.attn.to_keys_values", own).chunk(2, 1)
            q = applied(w, f"{part}.attn.to_queries", own)
            x = x + applied(w, f"{part}.attn.project", attended(q, k, v))
            inner = applied(w, f"{part}.mlp.fc1", normed(w, f"{part}.norm2", x)).clamp_min(0)
            x = x + applied(w, f"{part}.mlp.fc2", inner)
        torch.testing.assert_close(found, torch.sigmoid(applied(w, "local_atte_fc.0", x[:24])))


def test_fti4cirs_tokens_are_phis_of_picture_and_attributes(network):
    made, w = network("fti4cir")
    embedding, states = torch.randn(2, 12).double(), torch.randn(2, 6, 16).double()
    tokens, counts = made(embedding, states)
    local, expected = made.select(embedding, made.local_features(states))
    assert counts == expected

    def phi(name, x):
        hidden = gelu(applied(w, f"{name}.layers.3", gelu(applied(w, f"{name}.layers.0", x))))
        return applied(w, f"{name}.layers.6", hidden)

    torch.testing.assert_close(tokens[:, 0], phi("phi_s", embedding))
    torch.testing.assert_close(tokens[:, 1:], phi("phi_a", local))


def test_defaults_are_the_published_checkpoints():
    from rtd_plugins.context_i2w.rotator import ContextRotator

    attention = ContextRotator(4, 4, 4).VT_Extractor.layers[0][0]
    assert (attention.heads, len(attention.to_q.weight)) == (8, 512)
    assert get_method("fti4cir").build_projection(SMALL).selection.tolist() == [
        12,
        pytest.approx(0.05),
    ]
