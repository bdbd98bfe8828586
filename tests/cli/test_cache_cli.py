"""`rtd cache`, and the runs that fill it."""

from __future__ import annotations

import json

import torch
from safetensors.torch import load_file


def test_a_run_fills_the_cache_and_a_second_one_repeats_it(rtd, tmp_path, monkeypatch):
    monkeypatch.setenv("RTD_CACHE", str(tmp_path / "cache"))
    assert json.loads(rtd("cache", "list", "--json").stdout)["towers"] == []
    weights = []
    for name in ("cold", "warm"):
        out = tmp_path / f"{name}.safetensors"
        run = rtd("patch", "--method", "searle", "--max-steps", 2, "--batch-size", 8, "-q",
                  "--anchor-cache", "--out", out)  # fmt: skip
        assert run.returncode == 0, run.stderr
        weights.append(load_file(out))
        (tower,) = json.loads(rtd("cache", "list", "--json").stdout)["towers"]
        assert tower["backbone"] == "demo"
        assert 16 < tower["captions"] <= 32
    assert all((weights[0][key] == weights[1][key]).all() for key in weights[0])
    assert "demo" in rtd("cache", "list").stdout
    assert "MB freed" in rtd("cache", "clear").stdout
    assert json.loads(rtd("cache", "list", "--json").stdout)["towers"] == []


def test_pictures_are_listed_and_cleared_too(rtd, tmp_path, monkeypatch):
    from rtd_adapters.evaluation.kept import KeptEmbeddings, pictures_folder

    monkeypatch.setenv("RTD_CACHE", str(tmp_path))
    assert "0 lists, 0 unfinished" in rtd("cache", "list").stdout
    whole = KeptEmbeddings(pictures_folder(), "whole", (2000, 100))
    whole.keep_shard(range(2000), torch.ones(2000, 100))
    whole.merge([range(2000)])
    whole.drop_shards()
    part = KeptEmbeddings(pictures_folder(), "part", (9, 3))
    part.keep_shard(range(5), torch.ones(5, 3))
    assert "1 lists, 1 unfinished  0.8 MB" in rtd("cache", "list").stdout
    found = json.loads(rtd("cache", "list", "--json").stdout)["pictures"]
    assert (found["lists"], found["unfinished"]) == (1, 1)
    assert rtd("cache", "clear").stdout.startswith("0.8 MB freed")
    assert list(pictures_folder().iterdir()) == []
