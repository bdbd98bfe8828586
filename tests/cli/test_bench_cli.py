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
    reference, fast, _, half = result["rows"]
    assert [row["engine"] for row in result["rows"]] == ["reference", "fast", "fast", "fast"]
    assert [row["anchors_cached"] for row in result["rows"]] == [False, False, True, True]
    assert half["mixed_precision"] == "bf16"
    # Operations are counted, not timed, so they are the same on a busy machine.
    work = [row["gflops"] * row["seconds_per_step"] for row in result["rows"]]
    assert work[0] > 8 * work[1] > 8 * work[2]
    assert work[2] == pytest.approx(work[3], rel=1e-6)
    assert reference["speedup"] == 1.0
    for row in result["rows"]:
        assert row["kind"] == "full"
        assert row["triplets_per_second"] == pytest.approx(8 / row["seconds_per_step"])
        assert row["peak_memory_mb"] > 10
        assert row["data_share"] > 0
    assert fast["tokens_per_second"] / fast["triplets_per_second"] == pytest.approx(
        reference["tokens_per_second"] / reference["triplets_per_second"]
    )
    assert result["machine"]["matmul_gflops"] > 0


def test_an_unknown_backbone(rtd):
    run = rtd("bench", "--backbone", "ViT-X", "--quiet")
    assert run.returncode == 1
    assert "Try ViT-B-32, ViT-L-14 or" in run.stderr
