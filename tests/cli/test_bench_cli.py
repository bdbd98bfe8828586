"""`rtd bench` times both engines and says what it measured."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def tiny(tmp_path):
    """An open_clip model-config JSON of a tiny model."""
    path = tmp_path / "tiny.json"
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
    path.write_text(json.dumps({"embed_dim": 32, "vision_cfg": {}, "text_cfg": text}))
    return path


def test_rows_for_every_engine(rtd, tiny):
    run = rtd("bench", "--backbone", tiny, "--batch-size", 8, "--kind", "full", "--json", "--quiet")
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    result = json.loads(run.stdout)
    reference, fast = result["rows"]
    assert (reference["engine"], fast["engine"]) == ("reference", "fast")
    assert reference["speedup"] == 1.0
    for row in (reference, fast):
        assert row["kind"] == "full"
        assert row["triplets_per_second"] == pytest.approx(8 / row["seconds_per_step"])
        assert row["peak_memory_mb"] > 10
    assert fast["tokens_per_second"] / fast["triplets_per_second"] == pytest.approx(
        reference["tokens_per_second"] / reference["triplets_per_second"]
    )
    assert result["machine"]["matmul_gflops"] > 0


def test_an_unknown_backbone(rtd):
    run = rtd("bench", "--backbone", "ViT-X", "--quiet")
    assert run.returncode == 1
    assert "Try ViT-B-32 or ViT-L-14" in run.stderr
