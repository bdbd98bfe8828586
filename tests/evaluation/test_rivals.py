"""Training-free rivals, against float64 loops over the papers' formulas."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rtd_adapters import get_method
from rtd_adapters.evaluation.benchmark import EvalQuery
from rtd_adapters.evaluation.queries import COMPOSED, QueryEmbedder, averaged
from rtd_adapters.evaluation.rivals import PDV, RIVALS

NAMED = {rival.name: rival for rival in RIVALS}


def unit(vector):
    return vector / math.sqrt(sum(float(x) ** 2 for x in vector))


def by_hand(name, picture, text, bare, composed):
    """One query, from unit vectors in float64."""
    if name == "picture":
        return picture
    if name == "text":
        return text
    if name == "sum":
        return unit(picture + text)
    if name == "slerp":
        theta = math.acos(sum(float(a) * float(b) for a, b in zip(picture, text, strict=True)))
        return unit(
            math.sin(0.2 * theta) / math.sin(theta) * picture
            + math.sin(0.8 * theta) / math.sin(theta) * text
        )
    moved = composed - bare
    return unit(0.2 * (picture + 1.2 * moved) + 0.8 * (bare + 1.0 * moved))


def made_up(count=40, width=12):
    torch.manual_seed(0)
    sides = ("picture", "text", "bare", "composed")
    return {side: F.normalize(torch.randn(count, width), dim=-1) for side in sides}


def test_there_are_five():
    assert list(NAMED) == ["picture", "text", "sum", "slerp", "pdv"]
    assert NAMED["pdv"] is PDV
    assert NAMED["slerp"].about.endswith("; alpha 0.8")
    assert PDV.about.endswith("; beta 0.8, alpha_image 1.2, alpha_text 1")
    assert NAMED["sum"].about == "sum of the unit embeddings of picture and text"


@pytest.mark.parametrize("name", NAMED)
def test_each_rival_is_its_formula(name):
    sides = made_up()
    found = F.normalize(NAMED[name](SimpleNamespace(**sides)), dim=-1).double().numpy()
    rows = zip(*(side.double().numpy() for side in sides.values()), strict=True)
    wanted = np.stack([by_hand(name, *row) for row in rows])
    assert found == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_slerp_of_one_direction_is_that_direction(sign):
    picture = made_up()["picture"]
    sides = SimpleNamespace(picture=picture, text=picture * sign)
    found = F.normalize(NAMED["slerp"](sides), dim=-1)
    assert torch.allclose(found, picture * sign, atol=1e-6)


# What they are made of


@pytest.mark.parametrize("orders", [1, 2])
@pytest.mark.parametrize("name", NAMED)
def test_sides_are_what_the_tower_says_and_orders_are_averaged(name, orders, toy_tower):
    """From prompts and the tower alone; the pseudo token is the reference's own projection."""
    torch.manual_seed(3)
    method = get_method("searle")
    config = toy_tower.config
    projection = nn.Linear(config.embed_dim, config.width).eval().requires_grad_(False)
    texts = [("is red", "is big"), ("has a hat", "has no hat"), ("sleeps", "$wakes")]
    queries = [EvalQuery(str(n), "r", pair[:orders], ()) for n, pair in enumerate(texts)]
    references = torch.randn(3, config.embed_dim)
    embedder = QueryEmbedder(method, projection)
    found = averaged(embedder.sides(toy_tower, queries, references), NAMED[name])
    tokenizer = method.tokenizer(toy_tower)

    def embedded(prompt, row=None):
        ids = tokenizer.encode([prompt])
        pseudo = () if row is None else (projection(references[row])[None, None], 259)
        with torch.no_grad():
            return unit(toy_tower(ids, *pseudo)[0].double().numpy())

    for row, pair in enumerate(texts):
        made = []
        for text in pair[:orders]:
            plain = text.replace("$", "")
            made.append(
                by_hand(
                    name,
                    unit(references[row].double().numpy()),
                    embedded(plain),
                    embedded("a photo of $", row),
                    embedded(f"a photo of $ that {plain}", row),
                )
            )
        assert found[row].numpy() == pytest.approx(unit(sum(made)), abs=1e-5)
    own = averaged(embedder.sides(toy_tower, queries, references), COMPOSED)
    assert torch.equal(own, embedder.embed(toy_tower, queries, references))
