"""Anchors: each caption computed once, and found again on disk by any later run."""

from __future__ import annotations

import copy

import pytest
import torch

from rtd_adapters.clip.text import Tokenizer
from rtd_adapters.errors import FileError
from rtd_adapters.training import anchor_store, anchors
from rtd_adapters.training.anchor_store import AnchorStore, cached_towers, clear_cache
from rtd_adapters.training.anchors import Anchors
from rtd_adapters.training.objective import nt_xent

CAPTIONS = ["a dog", "a cat on a mat", "a dog", "one red star", "a cat"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RTD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def computed(monkeypatch):
    """Captions that met the tower, in order."""
    seen = []
    original = anchors.embed_queries

    def watched(tower, tokenizer, queries):
        seen.extend(text for query in queries for text in query.prompts)
        return original(tower, tokenizer, queries)

    monkeypatch.setattr(anchors, "embed_queries", watched)
    return seen


def store(fingerprint="f" * 64, spelling=None):
    return AnchorStore(fingerprint, 32, "toy", spelling)


def test_each_caption_meets_the_tower_once(toy_tower, computed):
    found = Anchors(toy_tower, Tokenizer(32))(CAPTIONS)
    assert sorted(computed) == sorted(set(CAPTIONS))
    assert torch.allclose(found, toy_tower(Tokenizer(32).encode(CAPTIONS)), atol=1e-5)


def test_a_loss_reaches_the_tower_through_its_queries_only(toy_tower):
    """An anchor stays where it is, even if the tower that made it could be trained."""
    tower = copy.deepcopy(toy_tower).requires_grad_(True)
    anchored = Anchors(tower, Tokenizer(32))(CAPTIONS[:2])
    queries = torch.randn(2, 32, requires_grad=True)
    nt_xent(anchored, queries, 0.07).backward()
    assert queries.grad.abs().min() > 0
    assert all(parameter.grad is None for parameter in tower.parameters())


def test_small_packs_give_the_same(toy_tower):
    whole = Anchors(toy_tower, Tokenizer(32))(CAPTIONS)
    assert torch.allclose(Anchors(toy_tower, Tokenizer(32), packed=2)(CAPTIONS), whole, atol=1e-5)


def test_a_later_run_finds_them_bit_for_bit(toy_tower, computed):
    first = store()
    fresh = Anchors(toy_tower, Tokenizer(32), first)(CAPTIONS)
    assert torch.equal(Anchors(toy_tower, Tokenizer(32), first)(CAPTIONS), fresh)
    first.flush()
    again = Anchors(toy_tower, Tokenizer(32), store())([*CAPTIONS, "a new one"])
    assert torch.equal(again[:-1], fresh)
    assert computed[4:] == ["a new one"]


def test_another_tower_or_spelling_finds_nothing(toy_tower):
    first = store()
    Anchors(toy_tower, Tokenizer(32), first)(CAPTIONS)
    first.flush()
    assert all(store().find(CAPTIONS).hits)
    for other in ("0" + "f" * 63, "f" * 31 + "0" + "f" * 32):
        assert not any(store(other).find(CAPTIONS).hits)
    assert not any(store(spelling="[$]").find(CAPTIONS).hits)


def test_two_runs_share_one_cache(toy_tower):
    one, two = store(), store()
    vectors = [Anchors(toy_tower, Tokenizer(32), run)(CAPTIONS) for run in (one, two)]
    one.flush()
    two.flush()
    assert torch.equal(*vectors)
    assert store().find(CAPTIONS).hits == [True] * 5


def test_memory_is_written_out_when_full(toy_tower, cache, monkeypatch):
    monkeypatch.setattr(anchor_store, "ROWS", 3)
    run = store()
    Anchors(toy_tower, Tokenizer(32), run)(["a", "b"])
    assert not list(cache.rglob("*.npy"))
    Anchors(toy_tower, Tokenizer(32), run)(["b", "c", "d"])
    assert len(list(cache.rglob("*.npy"))) == 1
    assert run.find(["a", "b", "c", "d", "e"]).hits == [True] * 4 + [False]


def test_the_cache_is_listed_and_cleared(toy_tower):
    assert cached_towers() == []
    run = store()
    Anchors(toy_tower, Tokenizer(32), run)(CAPTIONS)
    run.flush()
    (tower,) = cached_towers()
    assert (tower.backbone, tower.captions) == ("toy", 4)
    assert tower.megabytes == pytest.approx(4 * (16 + 32 * 4) / 1e6, rel=0.5)
    assert clear_cache() == tower.megabytes
    assert cached_towers() == []


def test_a_damaged_file_is_named(toy_tower, cache):
    run = store()
    Anchors(toy_tower, Tokenizer(32), run)(CAPTIONS)
    run.flush()
    (file,) = cache.rglob("*.npy")
    file.write_bytes(b"gone")
    with pytest.raises(FileError, match=rf"{file.name} is damaged.*rtd cache clear"):
        store()
    with pytest.raises(FileError, match=rf"{file.name} is damaged"):
        cached_towers()
    clear_cache()
    store()
