"""Numbers out of their range, NaN and infinity: usage errors that name the option."""

from __future__ import annotations

import pytest

from rtd_adapters import EvalOptions, LoRASettings, RuleSettings, RunOptions, TrainingSettings
from rtd_adapters.clip.text import interpolate
from rtd_adapters.compute.processes import Processes, launched
from rtd_adapters.errors import UsageError
from rtd_adapters.launcher import run_script

NAN, INF = float("nan"), float("inf")

OUT_OF_RANGE = [
    (TrainingSettings, "steps", "--max-steps", (-1,)),
    (TrainingSettings, "batch_size", "--batch-size", (0, -4)),
    (TrainingSettings, "learning_rate", "--lr", (0.0, -1e-5, NAN, INF)),
    (TrainingSettings, "weight_decay", "--weight-decay", (-0.1, NAN, INF)),
    (TrainingSettings, "warmup_steps", "--warmup-steps", (-1,)),
    (TrainingSettings, "temperature", "--temperature", (0.0, -1.0, NAN, INF)),
    (TrainingSettings, "noise_scale", "--noise-scale", (-0.5, NAN, INF)),
    (TrainingSettings, "gradient_accumulation", "--gradient-accumulation", (0,)),
    (TrainingSettings, "max_grad_norm", "--max-grad-norm", (-1.0, 0.0, NAN, INF)),
    (TrainingSettings, "chunk_size", "--chunk-size", (0,)),
    (TrainingSettings, "seed", "--seed", (-1, 1 << 32)),
    (LoRASettings, "rank", "--lora-rank", (0,)),
    (LoRASettings, "alpha", "--lora-alpha", (0.0, -16.0, NAN, INF)),
    (LoRASettings, "dropout", "--lora-dropout", (-0.1, 1.0, NAN)),
    (EvalOptions, "strength", "--strength", (-0.1, 1.5, NAN, INF)),
    (EvalOptions, "batch_size", "--batch-size", (0,)),
    (EvalOptions, "workers", "--workers", (-1,)),
    (RunOptions, "checkpoint_every", "--checkpoint-every", (-1,)),
    (RunOptions, "checkpoint_minutes", "--checkpoint-minutes", (-1.0, NAN, INF)),
    (RunOptions, "validate_every", "--validate-every", (-1,)),
    (RunOptions, "validate_on", "--validate-on", (-1,)),
    (RunOptions, "prefetch", "--prefetch", (-1,)),
    (RuleSettings, "band", "--band", ((NAN, 0.7), (0.5, INF), (-2.0, 0.5), (0.7, 0.5))),
]
ROWS = [(kind, name, option, value) for kind, name, option, bad in OUT_OF_RANGE for value in bad]


@pytest.mark.parametrize(("settings", "name", "option", "value"), ROWS)
def test_a_number_out_of_its_range_is_refused(settings, name, option, value):
    with pytest.raises(UsageError, match=rf"^{option} is "):
        settings(**{name: value})


def test_every_number_of_a_training_run_has_a_range():
    from dataclasses import fields

    from rtd_adapters.training.inversion import InversionSettings
    from rtd_adapters.training.settings import BOUNDS

    every = (*fields(TrainingSettings), *fields(InversionSettings))
    numbers = {field.name for field in every if "int" in field.type or "float" in field.type}
    assert numbers == set(BOUNDS)


@pytest.mark.parametrize("strength", [-0.1, 1.5, NAN])
def test_a_strength_outside_0_to_1_is_refused_everywhere(strength):
    with pytest.raises(UsageError, match="--strength is"):
        interpolate({}, {}, strength)
    with pytest.raises(UsageError, match="--strength is"):
        run_script(["python", "nowhere.py"], None, print, strength=strength)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"WORLD_SIZE": "abc"}, "WORLD_SIZE is 'abc'"),
        ({"RANK": ""}, "RANK is ''"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE 0"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK is 2 and WORLD_SIZE 2"),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, "RANK is -1"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused(environment, words, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=words):
        launched()


def test_a_whole_environment_is_read(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert launched() == Processes(1, 2)


PATCH = ("patch", "--method", "searle", "--out", "w.safetensors")


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ((*PATCH, "--max-grad-norm", "-1"), "--max-grad-norm"),
        ((*PATCH, "--seed", "-1"), "--seed"),
        ((*PATCH, "--lr", "nan"), "--lr"),
        ((*PATCH, "--lr", "-1"), "--lr"),
        ((*PATCH, "--temperature", "inf"), "--temperature"),
        ((*PATCH, "--noise-scale", "nan"), "--noise-scale"),
        ((*PATCH, "--weight-decay", "-1"), "--weight-decay"),
        ((*PATCH, "--lora-alpha", "nan"), "--lora-alpha"),
        ((*PATCH, "--lora-dropout", "1"), "--lora-dropout"),
        (("eval", "--method", "searle", "--strength", "2"), "--strength"),
        (("eval", "--method", "searle", "--strength", "nan"), "--strength"),
        (("sweep", "--method", "searle", "--noise-scale", "0,nan", "--out", "o"), "--noise-scale"),
        (("triplets", "rules", "c.txt", "--out", "o", "--band", "nan", "1"), "--band"),
        (("triplets", "rules", "c.txt", "--out", "o", "--band", "0.9", "0.1"), "--band"),
        (("triplets", "llm", "c.txt", "--out", "o", "--price", "nan", "1"), "--price"),
        (("triplets", "llm", "c.txt", "--out", "o", "--price", "-1", "1"), "--price"),
        (("triplets", "llm", "c.txt", "--out", "o", "--temperature", "nan"), "--temperature"),
        (("triplets", "llm", "c.txt", "--out", "o", "--timeout", "inf"), "--timeout"),
    ],
)
def test_the_command_line_exits_with_2_and_names_the_option(arguments, option, tmp_path, capsys):
    from rtd_adapters.cli import main

    (tmp_path / "c.txt").write_text("a red dog\n")
    placed = [str(tmp_path / a) if a in ("c.txt", "o", "w.safetensors") else a for a in arguments]
    with pytest.raises(SystemExit) as ended:
        main(placed)
    said = capsys.readouterr()
    assert ended.value.code == 2, said.err
    assert option in said.err
    assert not (tmp_path / "o").exists()


def test_a_world_size_that_is_no_number_ends_with_2(monkeypatch, capsys, tmp_path):
    from rtd_adapters.cli import main

    monkeypatch.setenv("WORLD_SIZE", "abc")
    with pytest.raises(SystemExit) as ended:
        main(["patch", "--method", "searle", "--out", str(tmp_path / "w.safetensors")])
    assert ended.value.code == 2
    assert "WORLD_SIZE" in capsys.readouterr().err
