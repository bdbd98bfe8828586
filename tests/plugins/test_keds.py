"""KEDs: published tensors, and what its networks, its lookup and its queries are by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from rtd_plugins.keds import Keds, neighbours
from rtd_plugins.keds.dual_stream import DualStream

from rtd_adapters import Reference
from rtd_adapters.methods.query import embed_composition, embed_query


def linear(name, out, inner):
    return {f"{name}.weight": (out, inner), f"{name}.bias": (out,)}


def published_stream():
    """Names and shapes of one stream's three state dicts for ViT-L/14, written out by hand."""
    mapping = linear("layers.0.0", 512, 768) | linear("layers.1.0", 512, 512)
    mapping |= linear("fc_out", 768, 512)
    crossing = {}
    for layer in range(3):
        part = f"cross_layers.{layer}"
        for name in ("to_q", "to_k", "to_v"):
            crossing |= linear(f"{part}.{name}", 512, 768)
        crossing |= linear(f"{part}.to_out.0", 768, 512)
    return {"img2text": mapping, "retrieval_fuse": crossing, "text_condition": crossing}


def test_a_stream_has_the_published_tensors():
    with torch.device("meta"):
        network = DualStream(768, 768)
    found = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    expected = {
        f"{stream}.{part}.{name}": shape
        for stream in ("image_stream", "text_stream")
        for part, shapes in published_stream().items()
        for name, shape in shapes.items()
    }
    assert found == expected | {"image_bank": (32, 768), "text_bank": (32, 768)}
    dropouts = [m.p for m in network.modules() if isinstance(m, torch.nn.Dropout)]
    assert dropouts == [0.1] * 4


def test_heads_are_eight_for_every_clip_and_fewer_in_a_miniature():
    for width, heads in ((512, 8), (1024, 8), (1280, 8), (128, 2), (10, 1)):
        with torch.device("meta"):
            attention = DualStream(4, width).image_stream.retrieval_fuse.cross_layers[0]
        assert (attention.heads, len(attention.to_q.weight)) == (heads, 64 * heads)


@pytest.fixture
def network():
    """A small network in float64, with two heads, clearly random, and banks of some lengths."""
    torch.manual_seed(2)
    made = DualStream(12, 10, heads=2, rows=(40, 25)).double().eval().requires_grad_(False)
    for name, value in made.state_dict().items():
        value.add_(torch.randn(value.shape) * (0.4 if "bank" in name else 0.05))
    return made


def applied(w, name, x):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def mapped(w, stream, x):
    for block in range(2):
        x = applied(w, f"{stream}.img2text.layers.{block}.0", x).clamp_min(0)
    return applied(w, f"{stream}.img2text.fc_out", x)


def crossed(w, name, token, others):
    """One token [width] looks at others [N, width], head by head and neighbour by neighbour."""
    for layer in range(3):
        part = f"{name}.cross_layers.{layer}"
        q, k, v = (
            applied(w, f"{part}.{n}", x)
            for n, x in (("to_q", token), ("to_k", others), ("to_v", others))
        )
        heads = []
        for start in (0, 64):
            own = slice(start, start + 64)
            raised = [math.exp(float(q[own] @ row[own]) / 8) for row in k]
            shares = [value / sum(raised) for value in raised]
            heads.append(sum(share * row[own] for share, row in zip(shares, v, strict=True)))
        token = applied(w, f"{part}.to_out.0", torch.cat(heads))
    return token


def sixteen(embedding, bank):
    """Rows nearest to the embedding at length 1, by distances one at a time."""
    unit = embedding / embedding.norm()
    distance = [float((unit - row).square().sum()) for row in bank]
    return bank[sorted(range(len(bank)), key=distance.__getitem__)[:16]]


def tokens_by_hand(w, stream, embedding, pictures, captions):
    own = mapped(w, stream, embedding)
    fused = crossed(w, f"{stream}.retrieval_fuse", own, mapped(w, stream, pictures))
    conditioned = crossed(w, f"{stream}.text_condition", own, mapped(w, stream, captions))
    return torch.stack([fused, conditioned, own])


def test_tokens_by_hand(network):
    w = network.state_dict()
    embedding = torch.randn(3, 12).double() * 4
    # Rows of another order of distances than of angles: the bank is taken as it is.
    image_bank = w["image_bank"] * torch.linspace(0.2, 3, 40)[:, None].double()
    found = network(embedding, image_bank)
    for stream, tokens in zip(("image_stream", "text_stream"), found, strict=True):
        expected = [
            tokens_by_hand(w, stream, row, sixteen(row, image_bank), sixteen(row, w["text_bank"]))
            for row in embedding
        ]
        torch.testing.assert_close(tokens, torch.stack(expected), rtol=1e-9, atol=1e-9)


def test_neighbours_across_blocks_are_those_of_the_whole_bank(monkeypatch):
    torch.manual_seed(3)
    bank, embedding = torch.randn(103, 7) * torch.rand(103, 1) * 2, torch.randn(5, 7)
    monkeypatch.setattr(neighbours, "ROWS", 10)  # fewer than 16 of a block, and a short last one
    for row, found in zip(embedding, neighbours.nearest(embedding, bank), strict=True):
        assert torch.equal(found, sixteen(row, bank))


def test_half_precision_around_it_does_not_confuse_neighbours():
    torch.manual_seed(4)
    bank = F.normalize(torch.ones(400, 32) + 0.02 * torch.randn(400, 32), dim=-1)
    embedding = torch.ones(2, 32) + 0.02 * torch.randn(2, 32)
    with torch.autocast("cpu", torch.bfloat16):
        found = neighbours.nearest(embedding, bank)
    assert torch.equal(found, neighbours.nearest(embedding, bank))


# What is composed


@pytest.fixture
def composing(toy_backbone):
    """Method, projection and a reference of either kind, of the same embeddings."""
    torch.manual_seed(5)
    projection = Keds().build_projection(toy_backbone.shape).eval().requires_grad_(False)
    embedding = torch.randn(3, toy_backbone.shape.embed_dim) * 3
    tower = toy_backbone.tower
    tokenizer = Keds().tokenizer(tower)

    def make(captions=None):
        return projection, Reference(embedding, tower, tokenizer, captions)

    return make


TEXTS = ["is red", "has a blue hat", "is red"]


def test_a_query_is_the_mean_of_both_streams_at_length_one(composing):
    projection, reference = composing()
    composition = Keds().composed(projection, reference, TEXTS)
    first, second = composition.queries
    assert list(first.prompts) == [f"a photo of * * * , {text}" for text in TEXTS]
    assert second.prompts == first.prompts
    own = projection(reference.embedding, projection.image_bank)
    assert torch.equal(first.pseudo_tokens, own[0])
    assert torch.equal(second.pseudo_tokens, own[1])
    with torch.no_grad():
        found = embed_composition(reference.tower, reference.tokenizer, composition)
        parts = [embed_query(reference.tower, reference.tokenizer, q) for q in (first, second)]
    expected = sum(0.5 * part / part.norm(dim=-1, keepdim=True) for part in parts)
    torch.testing.assert_close(found, expected)


def test_bare_prompts_have_the_same_tokens(composing):
    projection, reference = composing()
    bare, composed = (
        make.queries
        for make in (
            Keds().bare(projection, reference),
            Keds().composed(projection, reference, TEXTS),
        )
    )
    assert set(bare[0].prompts) == {"a photo of * * *"}
    for one, other in zip(bare, composed, strict=True):
        assert torch.equal(one.pseudo_tokens, other.pseudo_tokens)


def test_all_three_tokens_of_both_streams_reach_the_embedding(composing):
    projection, reference = composing()
    composition = Keds().composed(projection, reference, TEXTS)

    def embedded(queries):
        changed = replace(composition, queries=queries)
        with torch.no_grad():
            return embed_composition(reference.tower, reference.tokenizer, changed)

    whole = embedded(composition.queries)
    for stream in range(2):
        for token in range(3):
            queries = list(composition.queries)
            moved = queries[stream].pseudo_tokens.clone()
            moved[:, token] += torch.randn(moved.shape[-1])
            queries[stream] = replace(queries[stream], pseudo_tokens=moved)
            assert (embedded(tuple(queries)) - whole).norm(dim=-1).min() > 1e-3


def test_the_stand_in_says_where_a_captions_neighbours_are_looked_up(composing):
    captions = ["a dog", "a cat", "a red dress"]
    projection, seen = composing()
    _, stood_in = composing(captions)
    among_captions = Keds().configured({"stand_in": "captions"})

    def tokens(method, reference):
        return torch.stack(
            [q.pseudo_tokens for q in method.composed(projection, reference, TEXTS).queries]
        )

    picture = tokens(Keds(), seen)
    assert torch.equal(tokens(Keds(), stood_in), picture)
    assert torch.equal(tokens(among_captions, seen), picture)
    other = tokens(among_captions, stood_in)
    assert torch.equal(other, torch.stack(projection(seen.embedding, projection.text_bank)))
    # Only the first token looks at pictures.
    assert not torch.allclose(other[:, :, 0], picture[:, :, 0])
    assert torch.equal(other[:, :, 1:], picture[:, :, 1:])


def test_a_bank_is_filled_with_unit_vectors(composing):
    projection, _ = composing()
    pictures, captions = torch.randn(20, 32) * 9, torch.randn(20, 32) * 9
    Keds().fill_bank(projection, pictures, captions)
    for bank, given in ((projection.image_bank, pictures), (projection.text_bank, captions)):
        torch.testing.assert_close(bank, given / given.norm(dim=1, keepdim=True))
    assert projection.state_dict()["image_bank"].shape == (20, 32)
