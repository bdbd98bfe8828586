"""`rtd index` as its user sees it."""

import contextlib
import io
import json

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("lancedb", reason="the extra `search` is not installed")


def rtd(*arguments):
    from rtd_adapters.cli import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(list(map(str, arguments)))
        except SystemExit as exit_:
            code = exit_.code
    return code, out.getvalue(), err.getvalue()


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


def test_it_tells_what_it_did(folder, tmp_path):
    out = tmp_path / "index"
    code, said, _ = rtd("index", folder, "--out", out, "--backbone", "demo")
    assert code == 0
    assert f"{out}: 4 pictures (4 new, 0 changed, 0 gone, 12 that cannot be read)" in said
    assert said.count("left out: broken") == 10
    assert "and 2 more; --json names them all" in said
    assert f"rtd serve {out}" in said


def test_json_names_every_broken_picture(folder, tmp_path):
    code, said, err = rtd("index", folder, "-o", tmp_path / "i", "--backbone", "demo", "--json")
    assert (code, err) == (0, "")
    told = json.loads(said)
    assert told["index"] == str(tmp_path / "i")
    assert (told["count"], told["new"], told["changed"], told["gone"]) == (4, 4, 0, 0)
    assert len(told["broken"]) == 12
    assert told["broken"][0]["id"] == "broken00.png"
    assert "cannot be read as a picture" in told["broken"][0]["reason"]


def test_wrong_usage_is_one_message(folder, tmp_path):
    code, _, err = rtd("index", folder, "--out", tmp_path / "i")
    assert code == 2
    assert err.startswith("Error: --backbone is missing")
    code, _, err = rtd("index", folder, "--store", "qdrant://x", "--backbone", "demo")
    assert code == 2
    assert "no store that rtd knows" in err
