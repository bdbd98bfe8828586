"""Recipes: what they change, what they leave, and that the user's own settings win."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from rtd_adapters import TrainingSettings, recipe_settings
from rtd_adapters.errors import UsageError
from rtd_adapters.jobs.recipe import RECIPES

BALANCED = {"steps": 4000, "batch_size": 512, "keep_alignment": True, "schedule": "cosine"}


def changed(settings, from_):
    return {name: value for name, value in asdict(settings).items() if value != from_[name]}


def test_paper_is_the_default_and_what_was_published():
    assert recipe_settings("ViT-L-14") == recipe_settings("ViT-L-14", recipe="paper")
    assert recipe_settings("ViT-L-14", "lora") == TrainingSettings()


def test_balanced_changes_four_settings_and_no_other():
    found = recipe_settings("ViT-L-14", recipe="balanced")
    assert changed(found, asdict(TrainingSettings())) == BALANCED


@pytest.mark.parametrize(("kind", "rate"), [("full", 5e-4), ("lora", 3e-3)])
def test_a_recipe_goes_over_the_backbones_own_settings(kind, rate):
    paper = recipe_settings("demo", kind)
    assert (paper.steps, paper.batch_size, paper.learning_rate) == (80, 64, rate)
    found = recipe_settings("demo", kind, "balanced")
    assert changed(found, asdict(paper)) == {
        "steps": 160, "batch_size": 256, "keep_alignment": True
    }  # fmt: skip


def test_what_the_user_set_wins():
    own = {"steps": 7, "batch_size": 3, "keep_alignment": False, "schedule": "constant", "seed": 9}
    found = asdict(recipe_settings("demo", recipe="balanced", **own))
    assert {name: found[name] for name in own} == own


def test_an_unknown_recipe():
    with pytest.raises(UsageError, match=r"'fast'\. Use one of paper, balanced"):
        recipe_settings("demo", recipe="fast")


def test_the_command_line_offers_them_all():
    from rtd_adapters.cli.options import recipe_option

    def command():
        """Nothing."""

    (option,) = recipe_option(command).__click_params__
    assert list(option.type.choices) == list(RECIPES)
    assert option.default == "paper"
