"""Anchors: each caption computed once, and found again on disk by any later run."""

from __future__ import annotations

import copy

import numpy as np
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

    def watched(tower, tokenizer, queries, **rest):
        seen.extend(text for query in queries for text in query.prompts)
        return original(tower, tokenizer, queries, **rest)

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


def kept(toy_tower, cache):
    """A store's only file, its vectors, and where they lie in it."""
    run = store()
    vectors = Anchors(toy_tower, Tokenizer(32), run)(CAPTIONS)
    run.flush()
    (file,) = cache.rglob("*.npy")
    return file, vectors


def test_a_flipped_vector_is_missed_said_once_and_computed_again(toy_tower, cache, computed):
    file, vectors = kept(toy_tower, cache)
    content = bytearray(file.read_bytes())
    content[-12] ^= 1  # in the last record's vector, before its checksum
    file.write_bytes(content)
    computed.clear()
    later = store()
    with pytest.warns(UserWarning, match=rf"{file.name} holds .*rtd cache clear") as said:
        assert later.find(CAPTIONS).hits.count(False) == 1
        again = Anchors(toy_tower, Tokenizer(32), later)(CAPTIONS)
    assert len(said) == 1
    assert len(computed) == 1
    assert torch.allclose(again, vectors, atol=1e-5)
    later.flush()
    assert all(store().find(CAPTIONS).hits)


@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_a_torn_file_is_named(size, toy_tower, cache):
    file, _ = kept(toy_tower, cache)
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(FileError, match=rf"{file.name} is damaged.*rtd cache clear"):
        store()
    clear_cache()
    store()


def test_records_of_an_earlier_version_are_left_alone_and_cleared(cache):
    folder = cache / "anchors" / ("f" * 32)
    folder.mkdir(parents=True)
    np.save(folder / "old.npy", np.zeros(3, [("key", "<u8", (2,)), ("vector", "<f4", (32,))]))
    assert not any(store().find(CAPTIONS).hits)
    (tower,) = cached_towers()
    assert tower.captions == 3
    assert clear_cache() > 0
    assert cached_towers() == []


@pytest.mark.parametrize(
    "about", ["", "[]", '{"backbone": 5}', '{"backbone": "\\ud800"}', "9" * 5000]
)
def test_a_tower_whose_description_is_damaged_is_listed(about, toy_tower, cache):
    kept(toy_tower, cache)
    next(cache.rglob("about.json")).write_text(about)
    (tower,) = cached_towers()
    assert (tower.backbone, tower.fingerprint, tower.captions) == ("unknown", "f" * 32, 4)


def test_clearing_deletes_anchors_alone(toy_tower, cache):
    file, _ = kept(toy_tower, cache)
    own = file.with_name("mine.txt")
    own.write_text("mine")
    clear_cache()
    assert not file.exists()
    assert own.read_text() == "mine"
