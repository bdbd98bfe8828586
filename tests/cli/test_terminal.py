"""Nothing from outside steers a terminal, forges a line, or becomes a command, markup or YAML."""

from __future__ import annotations

import json
import os
import shlex
from types import SimpleNamespace

import pytest
import torch
import yaml
from safetensors.torch import save_file

from rtd_adapters.cli.terminal import echo, printable
from rtd_adapters.patch.card import write_card
from rtd_adapters.patch.metadata import KEY, PatchMetadata

EVIL = (
    "\x1b[31mred\x07\x9b2J\x7f\u202egnp\u2066\u2028Error: forged\nError: forged\r\ud800\U000e0041"
)
SPELLED = (
    r"\x1b[31mred\x07\x9b2J\x7f\u202egnp\u2066\u2028Error: forged\x0aError: forged\x0d\ud800"
    r"\U000e0041"
)
PRINTED = set(map(chr, (*range(0x20), *range(0x7F, 0xA0), 0x202E, 0x2066, 0x2028))) - {"\n"}
FILE_NAME = EVIL.replace("\ud800", "\udcff")


def harmless(run):
    """Whether what `rtd` printed has no sign that steers, and no line that is not its own."""
    text = run.stdout + run.stderr
    assert not PRINTED & set(text)
    assert not any(line.startswith("Error: forged") for line in text.splitlines())
    assert "not foreseen" not in text
    return text


def test_what_steers_is_spelled_out_and_what_is_written_stays():
    assert printable(EVIL) == SPELLED
    assert (
        printable("Zürich, 東京, عربي, 👩\u200d🚀, e\u0301")
        == "Zürich, 東京, عربي, 👩\u200d🚀, e\u0301"
    )


def test_a_terminal_of_another_encoding_is_no_crash(capsysbinary, monkeypatch):
    import io
    import sys

    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    echo("Zürich")
    sys.stdout.flush()
    assert raw.getvalue() == b"Z\\xfcrich\n"


def test_lines_are_the_programs_own(capsys):
    echo("one", "two\nthree", heading="a\nb")
    assert capsys.readouterr().out.splitlines() == [r"a\x0abone", r"two\x0athree"]


@pytest.fixture
def evil_file(tmp_path):
    """Metadata of nothing but escape sequences."""
    path = tmp_path / "evil.safetensors"
    fingerprint = {"fp32": EVIL}
    values = dict.fromkeys(
        ("method", "layout", "kind", "backbone", "placeholder", "dtype"), EVIL
    ) | {"tower": {"activation": EVIL}, "composed_prompt": EVIL, "bare_prompt": EVIL, "schema": 1}
    values |= {"base_fingerprint": fingerprint, "fingerprint": fingerprint, "dtype": "fp32"}
    values |= {"training": {EVIL: EVIL}, "versions": {EVIL: EVIL}}
    values |= {"triplets": {"source": EVIL, "sha256": EVIL}}
    values |= {"figures": {"before": {EVIL: 1.0}, "after": {EVIL: 2.0}}}
    save_file({"a": torch.zeros(1)}, path, {KEY: json.dumps(values)})
    return path


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_metadata(more, rtd, evil_file):
    run = rtd("inspect", evil_file, *more)
    assert r"\u202e" in harmless(run)
    harmless(rtd("doctor", evil_file, *more))


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_file_names(more, rtd, tmp_path, evil_file):
    path = os.fsencode(tmp_path) + b"/" + os.fsencode(FILE_NAME.replace("\U000e0041", ""))
    named = os.fsdecode(path) + ".safetensors"
    evil_file.rename(named)
    assert "x1b" in harmless(rtd("doctor", named)) + harmless(rtd("inspect", named + "x"))
    harmless(rtd("inspect", named, *more))
    harmless(rtd("triplets", "check", named, *more))


@pytest.mark.parametrize("command", ["sample", "check"])
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_captions(command, more, rtd, tmp_path):
    rows = [
        {f"{name}_caption": EVIL.replace("\ud800", "") for name in ("reference", "conditioning")},
        {"reference_caption": EVIL, "conditioning_caption": "x", "target_caption": "y"},
        {EVIL: 1},
    ]
    rows[0]["target_caption"] = "a\x1bb"
    path = tmp_path / "evil.jsonl"
    path.write_text(
        "".join(json.dumps(row) + "\n" for row in rows[: 1 if command == "sample" else 3])
    )
    run = rtd("triplets", command, path, *more)
    if command == "sample":  # breaks captions into lines of its own, within columns
        run.stdout = run.stdout.replace("\nError: forged ", "\n")
    assert "1b[31mred" in harmless(run).replace("u001b", "x1b") or more


def test_errors_and_wrong_usage(rtd, tmp_path):
    evil = EVIL.replace("\ud800", "")
    for arguments in (
        ("inspect", tmp_path / evil),
        (evil,),
        ("doctor", f"--{evil}"),
        ("patch", "--method", evil, "--out", tmp_path / "o"),
        ("patch", "--method", "searle", "--out", tmp_path / "o", "--method-option", evil),
        ("export", tmp_path / evil, "--for", evil, "--out", evil),
    ):
        run = rtd(*arguments)
        assert run.returncode in (1, 2)
        assert r"\x1b" in harmless(run)


@pytest.mark.parametrize("command", ["methods", "plugins"])
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_plugins(command, more, rtd, monkeypatch):
    about = SimpleNamespace(help=EVIL, default=EVIL)
    method = SimpleNamespace(
        summary=EVIL, layout=EVIL, composed_prompt=EVIL, bare_prompt=EVIL, placeholder=EVIL,
        backbone=(EVIL, EVIL), checked_with=(EVIL,), injections=(EVIL,), options={EVIL: about},
        reference_url=EVIL, projection_training=SimpleNamespace(learns_from=EVIL, source=EVIL),
    )  # fmt: skip
    works, broken = (
        SimpleNamespace(
            name=EVIL, distribution=EVIL, module=EVIL, provides={"method": [EVIL]}, error=error
        )
        for error in (None, EVIL)
    )
    registry = SimpleNamespace(
        methods={EVIL: method}, owners={("method", EVIL): EVIL}, plugins=[works, broken],
        things={"method": {EVIL: method}},
    )  # fmt: skip
    monkeypatch.setattr(f"rtd_adapters.cli.{command}.registry", lambda: registry)
    assert "forged" in harmless(rtd(command, *more))


def test_doctors_commands_are_one_word_a_path_even_when_it_would_run_something(rtd, tmp_path):
    folder = tmp_path / "a model; touch $(PWNED)"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "clip"}')
    found = json.loads(rtd("doctor", folder, "--json").stdout)
    assert shlex.split(found["commands"][0])[5] == str(folder)
    path = tmp_path / "p;x.safetensors"
    save_file({"a": torch.zeros(1)}, path, {"rtd_projection": "{}"})
    assert rtd("doctor", path).returncode == 1
    save_file({"a": torch.zeros(1)}, path, {"rtd_projection": json.dumps({"method": "a;b"})})
    words = shlex.split(json.loads(rtd("doctor", path, "--json").stdout)["commands"][0])
    assert words[2:6] == ["--method", "a;b", "--projection", str(path)]


INJECTION = "x\nlicense: mit\n---\n# <script>alert(1)</script> | `[a](b)` **b** ```"


def test_a_card_is_valid_yaml_and_plain_text_whatever_the_names(tmp_path):
    metadata = PatchMetadata(
        INJECTION, "openai", "full", INJECTION, {}, "$", "", "", {"fp32": "a"}, {"fp32": "b"},
        figures={"before": {INJECTION: 1.0}, "after": {INJECTION: 2.0}},
        triplets={"source": "\udcff```\n"},
    )  # fmt: skip
    weights = 'w"\udcff\n.safetensors'
    write_card(tmp_path / "README.md", metadata, weights=weights, command=f"rtd '{INJECTION}'")
    _, front, body = (tmp_path / "README.md").read_text().split("---\n", 2)
    said = yaml.safe_load(front)
    assert said.pop("tags") == ["composed-image-retrieval", "clip", "rtd", INJECTION]
    assert said.pop("library_name") == "rtd-adapters"
    (index,) = said.pop("model-index")
    assert said == {}
    (result,) = index["results"]
    assert result["dataset"]["name"] == INJECTION
    assert result["metrics"] == [{"type": INJECTION, "value": 2.0}]
    headings = [line for line in body.splitlines() if line.startswith("#")]
    assert [line[:5] for line in headings[1:]] == ["## Fi", "## Lo", "## Co"]
    (row,) = (line for line in body.splitlines() if line.endswith("| 1.0 | 2.0 | +1.0 |"))
    outside = "".join(part for n, part in enumerate(body.split("```")) if n % 2 == 0)
    indented = "\n".join(line for line in outside.splitlines() if line[:4] != "    ")
    assert "<" not in indented.replace(r"\<", "")
    assert row.replace(r"\|", "").count("|") == 5
    (code,) = (line for line in body.splitlines() if line.startswith("model.load_state_dict"))
    assert eval(code.split("load_file(")[1].split("), strict")[0]) == weights


def test_a_card_of_plain_names_reads_as_ever(tmp_path):
    metadata = PatchMetadata(
        "context_i2w", "openai", "full", "ViT-L-14/openai", {}, "$", "", "", {"fp32": "a"},
        {"fp32": "b"},
    )  # fmt: skip
    write_card(tmp_path / "README.md", metadata, weights="my_w.safetensors", command="")
    text = (tmp_path / "README.md").read_text()
    assert yaml.safe_load(text.split("---\n")[1]) == {
        "base_model": "timm/vit_large_patch14_clip_224.openai",
        "tags": ["composed-image-retrieval", "clip", "rtd", "context_i2w"],
        "library_name": "rtd-adapters",
    }
    assert (
        "# my_w.safetensors: an RTD patch of ViT-L-14/openai's text encoder for context_i2w" in text
    )
    assert 'load_file("my_w.safetensors")' in text
