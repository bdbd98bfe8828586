"""Diagnostics against the same quantities taken by hand; a sweep learns nothing twice."""

from __future__ import annotations

import random
import re
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from rtd_adapters import PatchJob, TextTower, TrainingSettings, get_method, load_backbone
from rtd_adapters.clip.sources import backbone_source
from rtd_adapters.demo.queries import held_out_queries
from rtd_adapters.demo.world import demo_world
from rtd_adapters.errors import FileError
from rtd_adapters.evaluation.diagnosis import CHANGES, DIAGNOSTICS, BeforeAfter
from rtd_adapters.evaluation.report.page import write_diagnoses
from rtd_adapters.jobs.sweep import ABLATION, noise_changes, run_sweep
from rtd_adapters.jobs.sweep_reading import reading


@pytest.fixture(scope="module")
def pair():
    backbone, method = load_backbone(), get_method("searle")
    projection = method.load_projection(
        backbone_source("demo").projection("searle"), backbone.shape
    )
    world = demo_world(method, projection, backbone, held_out_queries(5, 8))
    torch.manual_seed(0)
    patched = TextTower(backbone.tower.config).eval()
    patched.load_state_dict(backbone.tower.state_dict())
    with torch.no_grad():
        for parameter in patched.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return BeforeAfter(world, backbone.tower, patched.requires_grad_(False))


@pytest.fixture(scope="module")
def found(pair):
    return {name: diagnose(pair) for name, diagnose in DIAGNOSTICS.items()}


def test_anchor_alignment_by_hand(pair, found):
    world = pair.world
    tokenizer = world.method.tokenizer(pair.base)
    cosines = []
    for caption, target in zip(world.queries.target_captions, world.queries.targets, strict=True):
        text = pair.patched(tokenizer.encode([caption]))[0]
        cosines.append(F.cosine_similarity(text, world.gallery.embedding[target], dim=0).item())
    figures = found["anchor-alignment"].figures
    assert figures["cosine_after"] == pytest.approx(sum(cosines) / len(cosines), abs=1e-5)
    assert figures["cosine_before"] != pytest.approx(figures["cosine_after"], abs=1e-3)


def test_strength_runs_from_base_to_patched(pair, found):
    figures = found["strength"].figures
    for strength, tower in (("0", pair.base), ("1", pair.patched)):
        evaluated = pair.world.evaluate(tower)
        assert figures[f"recall@1_at_{strength}"] == evaluated["recall@1"]
    half = pair.at(0.5).state_dict()
    for name, tensor in pair.base.state_dict().items():
        between = (tensor + pair.patched.state_dict()[name]) / 2
        torch.testing.assert_close(half[name], between)
    assert not any(parameter.requires_grad for parameter in pair.at(0.5).parameters())


def test_a_worlds_recalls_by_hand(pair, monkeypatch):
    """Cosines of double precision, sorted, query by query; the world goes by sevens."""
    monkeypatch.setattr("rtd_adapters.evaluation.world.CHUNK", 7)
    world, tower = pair.world, pair.base
    queries, tokenizer = world.queries, world.method.tokenizer(tower)
    gallery = F.normalize(world.gallery.embedding.double(), dim=-1)

    def places(embeddings, without_reference=False):
        found = []
        for row, scores in enumerate(F.normalize(embeddings.double(), dim=-1) @ gallery.T):
            order = scores.argsort(descending=True).tolist()
            if without_reference:
                order.remove(queries.references[row])
            found.append(order.index(queries.targets[row]))
        return found

    prompts = [f"a photo of $ that {text}" for text in queries.texts]
    pseudo = world.projection(world.gallery.embedding[queries.references])
    composed = tower(tokenizer.encode(prompts), pseudo, tokenizer.placeholder_id)
    plain = places(tower(tokenizer.encode(queries.target_captions)))
    kept, removed = places(composed), places(composed, without_reference=True)

    def share(found, depth):
        return 100 * sum(place < depth for place in found) / len(found)

    wanted = {f"recall@{k}": share(kept, k) for k in (1, 5, 10)}
    wanted["recall@1_without_reference"] = share(removed, 1)
    wanted |= {f"text_to_image_recall@{k}": share(plain, k) for k in (1, 5, 10)}
    assert world.evaluate(tower) == pytest.approx(wanted)
    assert wanted["recall@1"] != wanted["recall@1_without_reference"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some prompts are longer than the tower's context
        words = [
            f"a photo of {caption} that {text}"
            for caption, text in zip(queries.reference_captions, queries.texts, strict=True)
        ]
        asked = places(tower(tokenizer.encode(words)))
        assert world.words_recall(tower) == pytest.approx(share(asked, 1))


def test_a_caption_for_every_reference(pair):
    fewer = replace(pair.world.queries, reference_captions=["a red star"])
    with pytest.raises(ValueError, match="zip"):
        replace(pair.world, queries=fewer).words_recall(pair.base)


def test_unchanged_texts_score_as_ever(pair, found):
    figures = found["robustness"].figures
    assert figures["unchanged_before"] == pair.world.evaluate(pair.base)["recall@1"]
    assert figures["empty_before"] < figures["unchanged_before"]
    assert len(figures) == 2 * len(CHANGES)


def test_pseudo_tokens_and_words_differ(found):
    figures = found["modality-gap"].figures
    assert 0 < figures["centroid_distance_before"] < 2
    assert figures["pseudo_token_recall@1_before"] != figures["caption_words_recall@1_before"]


def test_a_typo_moves_two_letters_of_one_word():
    draw = random.Random(0)
    for text in ("has become orange", "is now a very large triangle"):
        changed = CHANGES["typo"](text, draw)
        pairs = [
            (old, new) for old, new in zip(text.split(), changed.split(), strict=True) if old != new
        ]
        assert len(pairs) <= 1
        assert all(sorted(old) == sorted(new) for old, new in pairs)
    assert CHANGES["typo"]("is red", draw) == "is red"


def test_the_page_has_every_answer(found, tmp_path):
    write_diagnoses(list(found.values()), "<title>", tmp_path / "d.html")
    page = (tmp_path / "d.html").read_text()
    assert all(name in page for name in DIAGNOSTICS)
    charts = re.findall("<svg.*?</svg>", page)
    assert len(charts) == 6  # two of these questions have figures of two units
    for chart in charts:
        assert ("cosine_before" in chart) + ("recall@1" in chart) < 2
        assert ("centroid_distance" in chart) + ("recall@1" in chart) < 2
    assert "<title><title>" not in page
    assert "@@" not in page


@pytest.mark.slow
def test_a_sweep_learns_nothing_twice(tmp_path, monkeypatch):
    learned = []
    from rtd_adapters.jobs import sweep

    original = sweep.run_patch

    def counted(job):
        learned.append(job.out.name)
        return original(job)

    monkeypatch.setattr(sweep, "run_patch", counted)
    settings = TrainingSettings(steps=2, batch_size=8, learning_rate=5e-4)
    job = PatchJob("searle", Path("unused"), settings=settings)
    changes = noise_changes([0.5, 0.0])
    rows = run_sweep(job, changes, tmp_path)
    assert [row.name for row in rows] == ["noise-0.5", "noise-0"]
    assert rows[0].after != rows[0].before
    best = max(rows, key=lambda row: row.after["recall@1"])
    found = reading(rows)
    assert found.reading.startswith(f"{best.name} finds most")
    assert found.series["composed"] == [
        (0.0, rows[1].after["recall@1"]),
        (0.5, rows[0].after["recall@1"]),
    ]
    assert run_sweep(job, changes, tmp_path) == rows
    assert learned == ["noise-0.5.safetensors", "noise-0.safetensors"]
    other = PatchJob("searle", Path("unused"), settings=TrainingSettings(steps=3, batch_size=8))
    with pytest.raises(FileError, match="learned with other settings"):
        run_sweep(other, changes, tmp_path)


def test_a_sweep_goes_on_with_its_own_stand_in_only(tmp_path):
    settings = TrainingSettings(steps=1, batch_size=8)
    jobs = [
        PatchJob("fti4cir", Path("unused"), method_options={"stand_in": name}, settings=settings)
        for name in ("words", "reuse")
    ]
    rows = run_sweep(jobs[0], noise_changes([0.5]), tmp_path)
    assert run_sweep(jobs[0], noise_changes([0.5]), tmp_path) == rows
    with pytest.raises(FileError, match=r"other settings \(method options\)"):
        run_sweep(jobs[1], noise_changes([0.5]), tmp_path)


def test_the_ablation_takes_one_component_out_at_a_time():
    plain = TrainingSettings()
    for name, change in ABLATION.items():
        assert len(change) == (name != "whole")
        assert all(getattr(plain, key) != value for key, value in change.items())
