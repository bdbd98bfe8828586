"""`rtd cache`, and the runs that fill it."""

from __future__ import annotations

import json

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
