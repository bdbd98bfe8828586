"""Embed and search as a script of one's own does, against `evaluate` and against plain sorting."""

from __future__ import annotations

import random

import pytest
import torch
from shaken_patches import shaken_patch

import rtd_adapters
from rtd_adapters import (
    UsageError,
    embed_composed,
    embed_pictures,
    get_method,
    load_backbone,
    load_projection,
    patched_tower,
    search_gallery,
)
from rtd_adapters.evaluation.benchmark import load_benchmark


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("demo")


@pytest.fixture(scope="module")
def world():
    """The built-in world's gallery and queries."""
    (part,) = load_benchmark("demo").parts
    return part


@pytest.fixture(scope="module")
def opened(world):
    benchmark = load_benchmark("demo")
    return {image: benchmark.open_image(image) for image in world.gallery}


@pytest.fixture(scope="module")
def patch(backbone):
    return shaken_patch(backbone, 0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["searle", "fti4cir"])
def test_the_ranking_is_that_of_evaluate(
    name, backbone, world, opened, patch, monkeypatch, tmp_path
):
    """With states (fti4cir) and without, and for both towers."""
    monkeypatch.setenv("RTD_CACHE", str(tmp_path))
    options = rtd_adapters.EvalOptions(quiet=True, strength=0.5)
    result = rtd_adapters.evaluate(name, "demo", patch, options=options)
    method = get_method(name)
    projection, _ = load_projection(method, backbone, None)
    gallery = embed_pictures(backbone, [opened[image] for image in world.gallery])
    references = [opened[query.reference] for query in world.queries]
    texts = [query.texts[0] for query in world.queries]
    assert gallery.shape == (len(world.gallery), backbone.shape.embed_dim)
    for tower, wanted in (
        (None, [record.base_top for record in result.queries]),
        (patched_tower(backbone, patch, 0.5), [record.patched_top for record in result.queries]),
    ):
        queries = embed_composed(method, projection, backbone, references, texts, tower=tower)
        torch.testing.assert_close(queries.norm(dim=-1), torch.ones(len(texts)))
        named, scores = search_gallery(queries, gallery, world.gallery, depth=10)
        assert named == wanted
        assert scores.shape == (len(texts), 10)
        assert (scores[:, :-1] >= scores[:, 1:]).all()
    assert any(record.base_top != record.patched_top for record in result.queries)


def test_ties_stand_in_the_gallerys_order():
    draw = random.Random(0)
    for _ in range(100):
        cosines = [draw.randrange(-3, 4) / 4 for _ in range(40)]
        gallery = torch.tensor([[3 * c, 3 * (1 - c * c) ** 0.5] for c in cosines])
        ids = [f"i{row}" for row in range(40)]
        depth = draw.randrange(1, 50)
        (found,), scores = search_gallery(torch.tensor([[1.0, 0.0]]), gallery, ids, depth)
        best = sorted(range(40), key=lambda row: -cosines[row])[:depth]  # stable
        assert found == [ids[row] for row in best]
        wanted = torch.tensor([[cosines[row] for row in best]])
        torch.testing.assert_close(scores, wanted)


def test_many_queries_are_searched_chunk_by_chunk():
    torch.manual_seed(0)
    queries = torch.nn.functional.normalize(torch.randn(150, 8), dim=-1)
    gallery = torch.randn(90, 8)
    named, scores = search_gallery(queries, gallery, list(map(str, range(90))), 5)
    cosines = queries.double() @ torch.nn.functional.normalize(gallery.double(), dim=-1).T
    order = cosines.argsort(descending=True, stable=True)[:, :5]
    assert named == [[str(row) for row in rows] for rows in order.tolist()]
    torch.testing.assert_close(scores.double(), cosines.gather(1, order), atol=1e-6, rtol=1e-5)


def test_nothing_to_search(backbone):
    method = get_method("searle")
    projection, _ = load_projection(method, backbone, None)
    width = backbone.shape.embed_dim
    assert embed_pictures(backbone, []).shape == (0, width)
    queries = embed_composed(method, projection, backbone, [], [])
    assert queries.shape == (0, width)
    named, scores = search_gallery(queries, torch.randn(3, width), ["a", "b", "c"])
    assert named == []
    assert scores.shape == (0, 3)


def test_what_does_not_fit(backbone, opened):
    method = get_method("searle")
    projection, _ = load_projection(method, backbone, None)
    picture = next(iter(opened.values()))
    with pytest.raises(UsageError, match="1 reference pictures and 2 texts"):
        embed_composed(method, projection, backbone, [picture], ["a", "b"])
    with pytest.raises(UsageError, match="Unknown preprocessing 'square'"):
        embed_pictures(backbone, [picture], preprocess="square")
    with pytest.raises(UsageError, match="2 pictures and 1 ids"):
        search_gallery(torch.ones(1, 4), torch.ones(2, 4), ["a"])
    with pytest.raises(UsageError, match="no image tower for rtd: it was dropped"):
        embed_pictures(load_backbone("demo").drop_images(), [picture])


def test_wide_pictures_are_padded_where_asked(backbone):
    from PIL import Image

    from rtd_adapters.evaluation.pictures import padded

    wide = Image.effect_noise((96, 32), 80).convert("RGB")
    targetpad = embed_pictures(backbone, [wide], preprocess="targetpad")
    assert torch.equal(targetpad, embed_pictures(backbone, [padded(wide)]))
    assert not torch.allclose(targetpad, embed_pictures(backbone, [wide]))
