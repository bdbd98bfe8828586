"""`rtd diagnose` on a benchmark, by the road of `rtd eval`."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def clip(miniature_clip):
    return [word for name, value in miniature_clip.items() for word in (f"--{name}", value)]


@pytest.fixture
def mine(rtd, clip, tmp_path):
    """A patch of the miniature CLIP, after one step."""
    triplets, out = tmp_path / "triplets.jsonl", tmp_path / "w.safetensors"
    names = ("reference_caption", "conditioning_caption", "target_caption")
    rows = [(f"a dog {n}", f"is number {n + 1}", f"a dog {n + 1}") for n in range(12)]
    triplets.write_text("\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows))
    few = ("--max-steps", 1, "--batch-size", 4, "--quiet")
    made = rtd("patch", "--method", "searle", *clip, "--triplets", triplets, "--out", out, *few)
    assert made.returncode == 0, made.stderr
    return out


def test_on_a_benchmark(rtd, clip, mine, benchmark_folder, tmp_path):
    page, data = tmp_path / "d.html", benchmark_folder("custom")
    (data / "gallery/a/58.png").replace(tmp_path / "58.png")
    (data / "gallery/a/58.png").write_text("no picture")
    asked = ("diagnose", "--method", "searle", *clip, "--benchmark", "custom", "--data", data)
    asked = (*asked, "--patch", mine, "--only", "strength", "--workers", 0, "--device", "cpu")
    broken = rtd(*asked)
    skipped = rtd(*asked, "--skip-broken", "--out", page)
    (tmp_path / "58.png").replace(data / "gallery/a/58.png")
    assert broken.returncode == 1
    assert "58.png" in broken.stderr
    assert skipped.returncode == 0, skipped.stderr
    assert "left out: 1 pictures that cannot be read" in skipped.stderr
    assert "recall@1 is best at strength" in skipped.stdout
    assert "Diagnostics in custom, val split" in page.read_text()
    (answer,) = json.loads(rtd(*asked, "--json").stdout)
    assert answer["name"] == "strength"
    assert answer["intervals"].keys() == answer["figures"].keys()


@pytest.mark.parametrize(
    "given",
    [("--data", "DATA"), ("--workers", 2), ("--split", "test"), ("--pretrained", "openai")],
)
def test_what_belongs_to_a_benchmark_needs_one(given, rtd, tmp_path):
    (tmp_path / "w").write_text("")
    refused = rtd("diagnose", "--method", "searle", "--patch", tmp_path / "w", *given)
    assert refused.returncode == 2
    assert f"{given[0]} needs --benchmark" in refused.stderr
