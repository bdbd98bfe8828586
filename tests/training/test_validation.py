"""Validation and selection: what is measured, against a plain loop, and which tower is kept."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from rtd_adapters.clip.text import Tokenizer
from rtd_adapters.errors import TrainingError
from rtd_adapters.training import Towers
from rtd_adapters.training.batches import TripletBatch
from rtd_adapters.training.selection import Selection
from rtd_adapters.training.validation import HeldOut, held_out_figures

WORDS = ["red", "blue", "green", "star", "circle", "dog", "cat", "big"]


@pytest.fixture
def towers(searle, toy_projection, toy_backbone):
    student = copy.deepcopy(toy_backbone.tower).train()
    return Towers(searle, toy_projection, toy_backbone.tower, student, Tokenizer(32, "$"))


def captions(count, first):
    """So many captions, of which a few are alike."""
    return [f"{first} {WORDS[n % 8]} {WORDS[n // 8 % 8]} number {n // 3}" for n in range(count)]


def hits_by_hand(towers, batch, at):
    """Queries whose target stands among the first `at` of all distinct targets, one by one."""
    frozen, tokenizer = towers.frozen, towers.tokenizer
    gallery = list(dict.fromkeys(batch.targets))
    anchors = torch.cat([frozen(tokenizer.encode([text])) for text in gallery]).double()
    anchors = anchors / anchors.norm(dim=1, keepdim=True)
    hits = 0
    for reference, text, target in zip(
        batch.references, batch.conditioning, batch.targets, strict=True
    ):
        pseudo = towers.projection(frozen(tokenizer.encode([reference])))[:, None]
        ids = tokenizer.encode_prompts([f"a photo of $ that {text}"])
        query = towers.student(ids, pseudo, tokenizer.placeholder_id)[0].double()
        scores = (anchors @ query).tolist()
        order = sorted(range(len(gallery)), key=lambda place: -scores[place])
        hits += target in [gallery[place] for place in order[:at]]
    return hits


@torch.no_grad()
@pytest.mark.parametrize("count", [3, 129, 300])
def test_anchor_recall_against_a_plain_loop(towers, count):
    texts = [f"is {WORDS[n % 7]}" for n in range(count)]
    batch = TripletBatch(captions(count, "a"), texts, captions(count, "one"))
    found = held_out_figures(towers, batch)
    assert towers.student.training
    for at in (1, 5, 10):
        expected = 100 * hits_by_hand(towers, batch, at) / count
        assert found[f"anchor_recall@{at}"] == pytest.approx(expected, abs=1e-4)
    assert len(found) == 5


@torch.no_grad()
@pytest.mark.parametrize("count", [3, 129, 300])
def test_what_is_kept_of_plain_captions_against_a_plain_loop(towers, count):
    """Each distinct caption by itself, in float64, by a student that has moved."""
    generator = torch.Generator().manual_seed(count)
    for parameter in towers.student.parameters():
        parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    texts = captions(count, "one")
    texts[1::3] = texts[0::3]
    found = held_out_figures(towers, TripletBatch(captions(count, "a"), ["is red"] * count, texts))
    gallery = list(dict.fromkeys(texts))
    assert len(gallery) == 2 * count // 3
    ids = [towers.tokenizer.encode([text]) for text in gallery]
    frozen, student = (
        [tower(i)[0].double() for i in ids] for tower in (towers.frozen, towers.student)
    )
    cosines = [[float(a @ b / a.norm() / b.norm()) for b in frozen] for a in student]
    finds_itself = sum(row[n] == max(row) for n, row in enumerate(cosines))
    own = sum(row[n] for n, row in enumerate(cosines)) / len(gallery)
    assert found["caption_recall@1"] == pytest.approx(100 * finds_itself / len(gallery), abs=1e-4)
    assert found["caption_cosine"] == pytest.approx(own, abs=1e-5)
    assert own < 0.99
    if count > 3:
        assert 0 < finds_itself < len(gallery)


def test_a_tower_that_was_not_trained_keeps_all(towers):
    texts = captions(40, "one")
    found = held_out_figures(towers, TripletBatch(captions(40, "a"), ["is red"] * 40, texts))
    assert found["caption_recall@1"] == 100
    assert found["caption_cosine"] == pytest.approx(1, abs=1e-6)


def test_validation_is_without_dropout_and_noise(towers):
    student = towers.student
    student.ln_final = torch.nn.Sequential(student.ln_final, torch.nn.Dropout(0.9)).train()
    batch = TripletBatch(captions(40, "a"), ["is red"] * 40, captions(40, "one"), noise_seed=1)
    first = held_out_figures(towers, batch)
    student.eval()
    assert held_out_figures(towers, batch) == first
    assert not student.training


def test_the_frozen_tower_meets_held_out_captions_once(towers):
    """And is asked again only where it is another one."""
    batch = TripletBatch(captions(40, "a"), ["is red"] * 40, captions(40, "one"))
    met = []
    towers.frozen.transformer.resblocks[0].register_forward_hook(lambda *_: met.append("frozen"))
    held_out = HeldOut(batch)
    first = held_out.figures(towers)
    passes = len(met)
    assert passes
    with torch.no_grad():
        towers.student.positional_embedding.mul_(2)
    second = held_out.figures(towers)
    assert len(met) == passes
    assert second == held_out_figures(towers, batch) != first
    other = replace(towers, frozen=copy.deepcopy(towers.student))
    assert held_out.figures(other)["caption_cosine"] == pytest.approx(1, abs=1e-6)


def test_nothing_held_out_is_nothing_measured(towers):
    assert held_out_figures(towers, TripletBatch([], [], [])) == {}


def test_the_first_of_equals_is_kept_and_given_back():
    tower = torch.nn.Linear(2, 2)
    tower.bias.requires_grad_(False)
    selection, kept = Selection(tower, "recall"), None
    assert selection.take_best() is None
    for step, value in enumerate([0.1, 0.7, 0.3, 0.7], start=1):
        with torch.no_grad():
            tower.weight.fill_(step)
            tower.bias.fill_(step)
        selection.validation(step, {"recall": value, "other": 9.0})
        kept = selection.best
    assert (kept.step, kept.metric, kept.value) == (2, "recall", 0.7)
    assert kept.tensors.keys() == {"weight"}
    assert selection.take_best() == 2
    assert tower.weight.eq(2).all()
    assert tower.bias.eq(4).all()


def test_no_metric_keeps_nothing():
    tower = torch.nn.Linear(2, 2)
    selection = Selection(tower, None)
    selection.validation(1, {})
    assert selection.best is None
    assert selection.take_best() is None


@pytest.mark.parametrize(
    ("metrics", "known"), [({}, "none: no triplets are held out"), ({"a": 1.0, "b": 2.0}, "a, b")]
)
def test_a_metric_that_is_not_there(metrics, known):
    with pytest.raises(TrainingError, match=rf"--select x: .*\(there are: {known}\)"):
        Selection(torch.nn.Linear(2, 2), "x").validation(1, metrics)
