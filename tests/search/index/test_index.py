"""An index of the built-in world, asked, beside plain numpy."""

import numpy as np
import pytest

pytest.importorskip("lancedb", reason="the extra `search` is not installed")

from rtd_adapters.clip.backbones import load_backbone
from rtd_adapters.evaluation.benchmark import load_benchmark
from rtd_adapters.evaluation.pictures import embed_pictures
from rtd_adapters.jobs.index import IndexJob, run_index
from rtd_adapters.search.index import Index, UnknownEntryError


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "index"
    report = run_index(IndexJob("demo", out))
    assert report.new == report.count == 2821
    assert not report.broken
    return out


@pytest.fixture(scope="module")
def index(place):
    return Index.open(place)


def test_embeddings_are_the_image_towers(index):
    benchmark, ids = load_benchmark("demo"), ["7", "2800", "0"]
    expected = embed_pictures(load_backbone("demo"), [benchmark.open_image(i) for i in ids])
    np.testing.assert_allclose(index.embeddings(ids), expected.numpy(), atol=1e-5)
    assert not np.allclose(np.linalg.norm(index.embeddings(ids), axis=1), 1)


def test_search_is_that_of_numpy(index):
    ids = [str(n) for n in range(2821)]
    rows = index.embeddings(ids)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    queries = np.random.default_rng(0).standard_normal((5, 128)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    scores = queries.astype(np.float64) @ unit.astype(np.float64).T
    for found, expected in zip(index.search(queries, 20), scores, strict=True):
        best = np.sort(expected)[::-1][:20]
        np.testing.assert_allclose([hit.score for hit in found], best, atol=1e-6)
        own = [expected[int(hit.id)] for hit in found]
        np.testing.assert_allclose([hit.score for hit in found], own, atol=1e-6)


def test_a_picture_finds_itself(index):
    rows = index.embeddings(["3", "1000"])
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    for found in index.search(unit, 1):
        assert found[0].score == pytest.approx(1, abs=1e-5)
    assert index.search(unit[:0], 5) == []
    assert index.search(unit, 0) == [[], []]
    assert len(index.search(unit, 10_000)[1]) == 2821


def test_what_is_not_there_is_said(index):
    for ask in (index.entry, index.thumbnail, index.open_picture, lambda i: index.embeddings([i])):
        with pytest.raises(UnknownEntryError, match="not in the index of demo"):
            ask("it's none")
    with pytest.raises(ValueError, match="128"):
        index.search(np.ones((1, 64), np.float32), 5)


def test_pages_hold_every_picture_once(index):
    pages = [index.page(start, 1000) for start in range(0, 4000, 1000)]
    assert [len(page) for page in pages] == [1000, 1000, 821, 0]
    assert {entry.id for page in pages for entry in page} == {str(n) for n in range(2821)}
    assert index.entry("5") in pages[0]
