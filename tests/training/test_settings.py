"""Settings: what is refused, at its very edge, and how two runs' settings are told apart."""

from __future__ import annotations

import math
import re
from dataclasses import asdict

import pytest

from rtd_adapters.errors import UsageError
from rtd_adapters.training import RunOptions, TrainingSettings
from rtd_adapters.training.schedule import learning_rate

EDGES = [
    ("batch_size", 1, 0),
    ("gradient_accumulation", 1, 0),
    ("chunk_size", 1, 0),
    ("steps", 0, -1),
    ("warmup_steps", 0, -1),
    ("noise_scale", 0.0, -0.1),
    ("weight_decay", 0.0, -0.1),
    ("temperature", 1e-9, 0.0),
    ("learning_rate", 1e-9, 0.0),
]


@pytest.mark.parametrize(("name", "good", "bad"), EDGES)
def test_the_least_that_is_taken(name, good, bad):
    assert getattr(TrainingSettings(**{name: good}), name) == good
    with pytest.raises(UsageError, match=re.escape(f" {bad}")):
        TrainingSettings(**{name: bad})


@pytest.mark.parametrize(
    "changes", [{"chunk_size": 2}, {"checkpoint_activations": True}, {"local_negatives": True}]
)
def test_what_only_the_fast_engine_does(changes):
    TrainingSettings(**changes)
    with pytest.raises(UsageError, match=f"{next(iter(changes))} needs the fast engine"):
        TrainingSettings(engine="reference", **changes)


def test_the_rest_of_the_recipe_is_plain():
    """Everything that the published script does not do is off."""
    assert TrainingSettings().to_dict() == {
        "steps": 2000,
        "batch_size": 128,
        "learning_rate": 1e-5,
        "weight_decay": 0.01,
        "warmup_steps": 0,
        "schedule": "constant",
        "temperature": 0.07,
        "noise_scale": 0.5,
        "noise": "absolute",
        "refined_batch": True,
        "concat": "refined",
        "keep_alignment": False,
        "gradient_accumulation": 1,
        "max_grad_norm": None,
        "mixed_precision": "no",
        "frozen_precision": "fp32",
        "engine": "fast",
        "chunk_size": None,
        "checkpoint_activations": False,
        "local_negatives": False,
        "seed": 0,
    }


def test_a_run_keeps_nothing_unasked():
    assert asdict(RunOptions()) == {
        "folder": None,
        "resume": False,
        "checkpoint_every": 0,
        "checkpoint_minutes": 0.0,
        "validate_every": 0,
        "validate_on": None,
        "select": None,
        "tracker": None,
        "anchor_cache": False,
        "prefetch": None,
        "quiet": False,
        "device": None,
        "callbacks": (),
    }


def test_differences_name_what_was_stored_and_what_is_here():
    stored = TrainingSettings(steps=5).to_dict() | {"of another time": 1}
    del stored["seed"]
    assert TrainingSettings().differences(stored) == {"steps": (5, 2000), "seed": (None, 0)}
    assert TrainingSettings().differences(TrainingSettings().to_dict()) == {}


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_learning_rate_of_every_step(schedule):
    settings = TrainingSettings(steps=7, warmup_steps=3, schedule=schedule, learning_rate=0.6)
    after = [1.0] * 4
    if schedule == "cosine":
        after = [1, 0.5 + 0.5 * math.sqrt(0.5), 0.5, 0.5 - 0.5 * math.sqrt(0.5)]
    expected = [0.2, 0.4, 0.6, *(0.6 * share for share in after)]
    assert [learning_rate(settings, step) for step in range(7)] == pytest.approx(expected)


def test_a_run_that_is_all_warm_up_never_divides_by_zero():
    settings = TrainingSettings(steps=2, warmup_steps=2, schedule="cosine", learning_rate=1.0)
    assert [learning_rate(settings, step) for step in range(4)] == pytest.approx([0.5, 1, 1, 0])
