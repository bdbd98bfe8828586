"""`rtd search`: the table, JSON, the page, and what is refused."""

from __future__ import annotations

import base64
import io
import json
import re

import pytest

pytest.importorskip("lancedb", reason="the extra `search` is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from rtd_adapters.demo.pictures import write_pictures

    root = tmp_path_factory.mktemp("search") / "pictures"
    write_pictures(root, 40)
    return root


@pytest.fixture(scope="module")
def index(folder, rtd):
    out = folder.parent / "index"
    ran = rtd("index", folder, "--out", out, "--backbone", "demo", "--quiet")
    assert ran.returncode == 0, ran.stderr
    return out


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    from shaken_patches import shaken_patch

    from rtd_adapters import load_backbone

    path = tmp_path_factory.mktemp("patch") / "weights.safetensors"
    shaken_patch(load_backbone("demo")).save(path)
    return path


def test_a_plain_text(index, rtd):
    ran = rtd("search", index, "--text", "two red stars", "-k", 3)
    assert ran.returncode == 0, ran.stderr
    head, empty, names, *rows = ran.stdout.splitlines()
    assert (head, empty, names.split()) == ("asked as: two red stars", "", ["text"])
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert all(re.fullmatch(r" {2}\d {2}0\.\d{3} {2}\d{5}\.png", row) for row in rows)


def test_a_comparison(index, rtd, weights, folder):
    asked = ("--image", folder / "00002.png", "--text", "is blue", "--patch", weights)
    ran = rtd("search", index, *asked, "--compare", "-k", 2, "--json")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    names = ["base", "strength 0.5", "patched", "sum", "slerp"]
    assert [column["name"] for column in found["columns"]] == names
    assert [column["strength"] for column in found["columns"]] == [0, 0.5, 1, 0, 0]
    assert found["prompt"] == "a photo of $ that is blue"
    assert {len(column["hits"]) for column in found["columns"]} == {2}
    table = rtd("search", index, *asked, "--compare", "-k", 2).stdout
    for column in found["columns"]:
        for hit in column["hits"]:
            assert f"{hit['score']:.3f}  {hit['id']}" in table
    ran = rtd("search", index, *asked, "--compare", "--also-strength", 0.25, "--json")
    assert json.loads(ran.stdout)["columns"][1]["name"] == "strength 0.25"


def test_patched_alone_is_the_comparisons_column(index, rtd, weights):
    asked = ("--entry", "00002.png", "--text", "is blue", "--json", "-k", 4)
    patched = json.loads(rtd("search", index, *asked, "--patch", weights).stdout)["columns"]
    base = json.loads(rtd("search", index, *asked).stdout)["columns"]
    both = json.loads(rtd("search", index, *asked, "--patch", weights, "--compare").stdout)
    assert ([c["name"] for c in patched], [c["name"] for c in base]) == (["patched"], ["base"])
    assert [base[0], patched[0]] == [both["columns"][0], both["columns"][2]]
    assert base[0]["hits"] != patched[0]["hits"]


def test_a_page_that_needs_nothing_else(index, rtd, folder, tmp_path):
    from PIL import Image

    out = tmp_path / "found.html"
    asked = ("--image", folder / "00002.png", "--text", "<b>is blue</b>", "--html", out)
    ran = rtd("search", index, *asked, "-k", 3)
    assert ran.returncode == 0, ran.stderr
    page = out.read_text()
    assert "<b>is blue" not in page
    assert "&lt;b&gt;is blue&lt;/b&gt;" in page
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    shown = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert len(shown) == 4  # the reference, and three results
    for picture in shown:
        Image.open(io.BytesIO(base64.b64decode(picture))).load()
    assert rtd("search", index, *asked).returncode == 1
    assert rtd("search", index, *asked, "--overwrite").returncode == 0


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        ((), 2, "nothing is asked"),
        (("--entry", "no.png", "--text", "is red"), 1, "'no.png' is not in the index"),
        (("--image", "no.png"), 1, "no.png"),
        (("--text", "a star", "--strength", "0.5"), 2, "Pass --patch"),
        (("--text", "a star", "--compare", "--also-strength", "0.5"), 2, "Pass --patch"),
        (("--text", "a star", "--backbone", "demo-resnet"), 1, "demo-resnet is loaded"),
        (("--text", "a star", "--method", "hope"), 2, "hope"),
    ],
)
def test_what_is_refused(index, rtd, asked, code, words):
    ran = rtd("search", index, *asked)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert words in ran.stderr


def test_a_strength_between_needs_a_comparison(index, rtd, weights):
    ran = rtd("search", index, "--text", "x", "--patch", weights, "--also-strength", 0.5)
    assert ran.returncode == 2
    assert "Pass --compare" in ran.stderr


def test_no_index(rtd, tmp_path):
    ran = rtd("search", tmp_path, "--text", "a star")
    assert ran.returncode == 1
    assert "holds no index" in ran.stderr
    assert "rtd index" in ran.stderr


def test_the_built_in_worlds_index_is_made_at_once(rtd, tmp_path, monkeypatch):
    from dataclasses import replace

    from rtd_adapters.evaluation import benchmark

    monkeypatch.setenv("RTD_CACHE", str(tmp_path))
    load, count = benchmark.load_benchmark, 30

    def few(name, *rest):
        loaded = load(name, *rest)
        part = replace(loaded.parts[0], gallery=loaded.parts[0].gallery[:count], queries=())
        return replace(loaded, parts=(part,))

    monkeypatch.setattr("rtd_adapters.search.index.pictures.load_benchmark", few)
    first = rtd("search", "demo", "--text", "a star", "-k", 2)
    assert first.returncode == 0, first.stderr
    assert "indexing the pictures of demo, once" in first.stderr
    again = rtd("search", "demo", "--text", "a star", "-k", 2)
    assert again.stdout == first.stdout
    assert "indexing" not in again.stderr
    count = 40  # as if the first run had been killed
    assert "indexing the pictures of demo, once" in rtd("search", "demo", "--text", "x").stderr
