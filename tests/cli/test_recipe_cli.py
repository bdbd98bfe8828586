"""`--recipe`: where its name stands, and that flags win over it."""

from __future__ import annotations

import json
from dataclasses import fields

from rtd_adapters.patch import TextEncoderPatch
from rtd_adapters.training import TrainingSettings

QUICK = ("--max-steps", 1, "--batch-size", 4, "--quiet")


def test_its_name_is_in_file_card_and_inspection(patch, rtd, tmp_path):
    out = tmp_path / "w.safetensors"
    made = json.loads(patch(out, "--recipe", "balanced", *QUICK, "--card", "--json").stdout)
    training = TextEncoderPatch.load(out).metadata.training
    assert made["recipe"] == training["recipe"] == "balanced"
    assert (training["steps"], training["batch_size"], training["keep_alignment"]) == (1, 4, True)
    assert '"recipe": "balanced"' in (tmp_path / "README.md").read_text(encoding="utf-8")
    shown = rtd("inspect", out).stdout
    assert shown.count("balanced") == 1
    assert "recipe       balanced\n" in shown
    assert json.loads(rtd("inspect", out, "--json").stdout)["recipe"] == "balanced"


def test_the_papers_recipe_adds_nothing_to_a_file(patch, rtd, tmp_path):
    """Files of a run as published keep their bytes; one that names no recipe is the paper's."""
    default, named = tmp_path / "default.safetensors", tmp_path / "named.safetensors"
    assert json.loads(patch(default, *QUICK, "--json").stdout)["recipe"] == "paper"
    assert patch(named, "--recipe", "paper", *QUICK).returncode == 0
    assert named.read_bytes() == default.read_bytes()
    counted = {"selected_step", "texts_cut", "texts_cleaned"}
    settings = {field.name for field in fields(TrainingSettings)}
    assert set(TextEncoderPatch.load(default).metadata.training) == settings | counted
    assert "recipe       paper\n" in rtd("inspect", default).stdout


def test_flags_win_over_it(patch, tmp_path):
    own = ("--recipe", "balanced", "--no-keep-alignment", "--schedule", "constant")
    plan = json.loads(patch(tmp_path / "w", *own, *QUICK, "--dry-run", "--json").stdout)
    assert plan["recipe"] == "balanced"
    found = plan["settings"]
    assert (found["keep_alignment"], found["schedule"]) == (False, "constant")
    assert (found["steps"], found["batch_size"]) == (1, 4)


def test_a_sweep_varies_a_setting_of_the_recipe(rtd, tmp_path):
    out = tmp_path / "sweep"
    few = ("--noise-scale", "0", "--max-steps", 1, "--out", out)
    run = rtd("sweep", "--method", "searle", "--recipe", "balanced", *few, "--json")
    assert run.returncode == 0, run.stderr
    training = TextEncoderPatch.load(out / "noise-0.safetensors").metadata.training
    assert (training["recipe"], training["batch_size"]) == ("balanced", 256)
    assert (training["noise_scale"], training["keep_alignment"]) == (0.0, True)
