"""Figures cost a twentieth of a run, are taken on what was asked for, or not at all."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rtd_adapters import PatchJob, Trainer, TrainingSettings, run_patch
from rtd_adapters.errors import UsageError
from rtd_adapters.training import RunOptions
from rtd_adapters.training.allowance import judged
from rtd_adapters.training.trainer import TRIPLET


@pytest.mark.parametrize(
    ("settings", "every", "expected"),
    [
        ({}, 0, 512),  # the published run judges by all it holds out
        ({"steps": 2}, 0, 10),  # two steps of 128 triplets, of five passes each: 64 passes
        ({"steps": 2, "gradient_accumulation": 3}, 0, 32),
        ({"steps": 100, "batch_size": 8}, 0, 33),
        ({"steps": 100, "batch_size": 8}, 10, 7),
        ({"steps": 1, "batch_size": 1}, 1, 1),  # never fewer than one
        ({"steps": 0}, 0, 1),
    ],
)
def test_figures_cost_a_twentieth_of_a_run(settings, every, expected):
    course = TrainingSettings(**settings)
    found = judged(course, RunOptions(validate_every=every), TRIPLET, 512)
    assert found == expected
    times = 2 + (course.steps // every if every else 0)
    run = 5 * course.steps * course.batch_size * course.gradient_accumulation
    assert found == 1 or (2 + 2 * times) * found <= run / 20


@pytest.mark.parametrize(("asked", "expected"), [(0, 0), (7, 7), (9999, 512)])
def test_what_is_asked_for_wins(asked, expected):
    assert judged(TrainingSettings(), RunOptions(validate_on=asked), TRIPLET, 512) == expected


def test_choosing_by_figures_that_are_not_taken():
    with pytest.raises(UsageError, match="--select needs figures"):
        RunOptions(select="anchor_recall@1", validate_on=0)


def test_a_trainer_judges_by_so_many(searle, toy_projection, toy_backbone, toy_triplets):
    def held_out(**options):
        settings = TrainingSettings(steps=10, batch_size=8)
        return Trainer(
            searle, toy_projection, toy_backbone, toy_triplets, settings, RunOptions(**options)
        ).held_out

    assert len(held_out()) == 3
    assert len(held_out(validate_on=20)) == 20
    assert held_out(validate_on=20).triplets.targets[:3] == held_out().triplets.targets


@pytest.fixture
def job(miniature_clip, tmp_path):
    names = ("reference_caption", "conditioning_caption", "target_caption")
    rows = [(f"a dog {n}", f"is number {n + 1}", f"a dog {n + 1}") for n in range(60)]
    file = tmp_path / "triplets.jsonl"
    file.write_text("\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows))
    settings = TrainingSettings(steps=2, batch_size=8)
    options = RunOptions(quiet=True, device="cpu")
    return PatchJob(
        "searle",
        tmp_path / "patch.safetensors",
        settings=settings,
        triplets=file,
        options=options,
        **miniature_clip,
    )


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (None, "taking figures on 1 of 6 held-out triplets, a twentieth of the run's work"),
        (5, "taking figures on 5 of 6 held-out triplets"),
    ],
)
def test_a_line_says_what_figures_are_taken_on(job, asked, line):
    said = []
    job = replace(job, options=replace(job.options, validate_on=asked))
    result = run_patch(job, said.append)
    lines = [text for text in said if text.startswith("taking figures")]
    assert len(lines) == 2 and all(text.startswith(line) for text in lines)
    assert result.metadata.training["judged_on"] == (asked or 1)
    assert result.before["caption_recall@1"] == 100
    assert result.after.keys() == result.before.keys()


@pytest.mark.parametrize("backbone", ["given", "demo"])
def test_no_figures_where_none_are_wanted(job, backbone, monkeypatch):
    from rtd_adapters.evaluation.world import World

    def drawn(*_):
        raise AssertionError("pictures were judged")

    monkeypatch.setattr(World, "evaluate", drawn)
    said = []
    options = replace(job.options, validate_on=0)
    if backbone == "demo":
        job = PatchJob("searle", job.out, settings=job.settings)
    result = run_patch(replace(job, options=options), said.append)
    assert result.before == result.after == {}
    assert not [text for text in said if "figures" in text or "pictures" in text]
