"""`--config`: options from a file, and files that say what was run."""

from __future__ import annotations

import click
import pytest
import yaml

from rtd_adapters.cli import COMMANDS, cli
from rtd_adapters.cli.config import FLAG, resolved, with_config
from rtd_adapters.errors import UsageError


@pytest.fixture
def asked():
    """A command, and what it was called with last."""
    seen = {}

    @click.command()
    @click.option("-n", "--count", type=click.IntRange(1), default=1)
    @click.option("--lr", "learning_rate", type=float)
    @click.option("--name", "-N")
    @click.option("--two-words")
    @click.option("--band", nargs=2, type=float)
    @click.option("--add", "added", multiple=True)
    @click.option("--mix/--no-mix", default=True)
    @click.option("--must", required=True)
    @click.argument("place", default="here")
    def command(**given):
        seen.clear()
        seen.update(given, config=resolved(click.get_current_context()))

    def run(text, *arguments, folder):
        (folder / "c.yaml").write_text(text, encoding="utf-8")
        with_config(command).main([FLAG, str(folder / "c.yaml"), *arguments], standalone_mode=False)
        return dict(seen)

    return run


EVERYTHING = """
count: 3
lr: 1e-5
name: 007
band: [0.5, 1]
add: {a: 1, b: no}
mix: false
must: "1e-5"
"""


def test_each_kind_of_option_and_the_command_line_wins(asked, tmp_path):
    given = asked(EVERYTHING, "--count", "4", "there", folder=tmp_path)
    config = given.pop("config")
    assert given == {
        "count": 4, "learning_rate": 1e-5, "name": "007", "two_words": None, "band": (0.5, 1.0),
        "added": ("a=1", "b=no"), "mix": False, "must": "1e-5", "place": "there",
    }  # fmt: skip
    again = asked(config, "there", folder=tmp_path)
    assert {**again, "config": None} == {**given, "config": None}
    assert again["config"] == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cout: 3", "no option 'cout'. Did you mean count"),
        ("place: x", "no option 'place'"),
        ("config: x", "no option 'config'"),
        ("mix: 1", "mix is a flag"),
        ("count: true", "count is 'True', which it does not take"),
        ("count:", "count is empty"),
        ("- count", "holds no options"),
        ("two_words: a\nmust: x\ntwo-words: b", "has two-words twice"),
        ("band: 1\nadd: x\nname: a\nna_me: b", "no option 'na_me'"),
    ],
)
def test_what_does_not_fit_is_named(asked, tmp_path, text, message):
    with pytest.raises(UsageError, match=message.replace("'", ".")):
        asked(text + "\nmust: x" * text.startswith(("c", "p", "m", "b")), folder=tmp_path)


@pytest.mark.parametrize(
    "text", ["count: 0\nmust: x", "count: 2.5\nmust: x", "count: [1, 2]\nmust: x", "count: 2"]
)
def test_values_are_checked_as_those_of_the_command_line(asked, tmp_path, text):
    with pytest.raises(click.UsageError):
        asked(text, folder=tmp_path)


def test_every_command_with_options_has_it():
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        for inner in getattr(command, "commands", {"": command}).values():
            flags = [flag for p in inner.params for flag in p.opts if flag.startswith("--")]
            assert flags.count(FLAG) == (0 if name == "run" or not flags else 1), (name, flags)


def test_a_run_keeps_what_it_was_started_with(patch, rtd, tmp_path):
    folder, out = tmp_path / "run", tmp_path / "a.safetensors"
    quick = (
        "--max-steps",
        2,
        "--batch-size",
        8,
        "--quiet",
        "--validate-on",
        0,
        "--run-dir",
        folder,
    )
    run = patch(out, *quick, "--no-refined-batch", "--kind", "lora", "--lora-rank", 2)
    assert run.returncode == 0, run.stderr
    kept = folder / "rtd-options.yaml"
    said = yaml.safe_load(kept.read_text(encoding="utf-8"))
    assert said["out"] == str(out)
    assert (said["max-steps"], said["lora-rank"], said["method"]) == (2, 2, "searle")

    from_run = tmp_path / "b.safetensors"
    again = rtd("patch", FLAG, kept, "--out", from_run, "--run-dir", tmp_path / "other")
    assert again.returncode == 0, again.stderr
    assert from_run.read_bytes() == out.read_bytes()

    shown = rtd("inspect", out, "--as-config").stdout
    (tmp_path / "c.yaml").write_text(shown, encoding="utf-8")
    from_patch = tmp_path / "c.safetensors"
    again = rtd("patch", FLAG, tmp_path / "c.yaml", "--out", from_patch, *quick[4:7])
    assert again.returncode == 0, again.stderr
    assert from_patch.read_bytes() == out.read_bytes()

    kept.write_text("mine", encoding="utf-8")
    refused = patch(tmp_path / "d.safetensors", *quick, "--overwrite")
    assert refused.returncode == 1
    assert "rtd-options.yaml is not of rtd" in refused.stderr
    assert kept.read_text(encoding="utf-8") == "mine"


CAPTIONS = ("--captions", "{captions}", "--keywords", "word-list", "--quiet")
KEEPERS = {
    "projection train": (
        *CAPTIONS,
        *("--method", "lincir", "--max-steps", 2, "--batch-size", 8),
        *("--out", "{folder}/phi.pt", "--run-dir", "{folder}"),
    ),
    "adapt": (
        *CAPTIONS,
        *("--projection-steps", 2, "--projection-batch-size", 8, "--max-steps", 2),
        *("--batch-size", 8, "--out", "{folder}"),
    ),
    "sweep": (
        *("--method", "searle", "--noise-scale", "0", "--max-steps", 1, "--batch-size", 8),
        *("--out", "{folder}"),
    ),
    "eval": ("--method", "searle", "--benchmark", "demo-captions", "--quiet", "--out", "{folder}"),
}


@pytest.mark.parametrize("command", KEEPERS)
def test_what_was_made_keeps_its_options_beside_it(rtd, tmp_path, command):
    from rtd_adapters.demo.caption_file import training_captions

    captions, first, second = (tmp_path / name for name in ("captions.txt", "first", "second"))
    captions.write_text("\n".join(training_captions(300)))
    asked = [str(word).format(captions=captions, folder=first) for word in KEEPERS[command]]
    made = rtd(*command.split(), *asked)
    assert made.returncode == 0, made.stderr
    kept = first / "rtd-options.yaml"
    elsewhere = [word.replace(str(first), str(second)) for word in asked if str(first) in word]
    flags = [asked[asked.index(word) - 1] for word in asked if str(first) in word]
    places = [part for pair in zip(flags, elsewhere, strict=True) for part in pair]
    again = rtd(*command.split(), FLAG, kept, *places)
    assert again.returncode == 0, again.stderr
    assert _options_of(second) == {
        name: value.replace(str(first), str(second)) if isinstance(value, str) else value
        for name, value in _options_of(first).items()
    }


def _options_of(folder):
    return yaml.safe_load((folder / "rtd-options.yaml").read_text(encoding="utf-8"))


def test_a_file_of_anothers_is_not_replaced(rtd, tmp_path):
    (tmp_path / "rtd-options.yaml").write_text("mine", encoding="utf-8")
    refused = rtd("eval", *("--method", "searle", "--benchmark", "demo-captions"), "-o", tmp_path)
    assert refused.returncode == 1
    assert "rtd-options.yaml is not of rtd" in refused.stderr
    assert (tmp_path / "rtd-options.yaml").read_text(encoding="utf-8") == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["rtd-options.yaml"]
