"""`rtd index` as its user sees it."""

import json

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("lancedb", reason="the extra `search` is not installed")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "my pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for n in range(4):
        noise = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{n}.png")
    for n in range(12):
        (folder / f"broken{n:02}.png").write_text("x")
    return folder


def test_it_tells_what_it_did(rtd, folder, tmp_path):
    out = tmp_path / "index"
    run = rtd("index", folder, "--out", out, "--backbone", "demo")
    assert run.returncode == 0
    said = run.stdout
    assert f"{out}: 4 pictures (4 new, 0 changed, 0 gone, 12 that cannot be read)" in said
    assert said.count("left out: broken") == 10
    assert "and 2 more; --json names them all" in said
    assert f"rtd serve {out}" in said


def test_json_names_every_broken_picture(rtd, folder, tmp_path):
    run = rtd("index", folder, "-o", tmp_path / "i", "--backbone", "demo", "--json")
    assert (run.returncode, run.stderr) == (0, "")
    told = json.loads(run.stdout)
    assert told["index"] == str(tmp_path / "i")
    assert (told["count"], told["new"], told["changed"], told["gone"]) == (4, 4, 0, 0)
    assert len(told["broken"]) == 12
    assert told["broken"][0]["id"] == "broken00.png"
    assert "cannot be read as a picture" in told["broken"][0]["reason"]


def test_wrong_usage_is_one_message(rtd, folder, tmp_path):
    run = rtd("index", folder, "--out", tmp_path / "i")
    assert run.returncode == 2
    assert run.stderr.startswith("Error: --backbone is missing")
    run = rtd("index", folder, "--store", "qdrant://x", "--backbone", "demo")
    assert run.returncode == 2
    assert "no store that rtd knows" in run.stderr
