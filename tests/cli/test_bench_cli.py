"""`rtd bench` times both engines and says what it measured."""

from __future__ import annotations

import json

import pytest

from rtd_adapters.compute.half_precision import emulated


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
    reference, fast, *_ = result["rows"]
    given = [
        (row["engine"], row["anchors_cached"], row["mixed_precision"]) for row in result["rows"]
    ]
    expected = [("reference", False, "no"), ("fast", False, "no"), ("fast", True, "no")]
    half = [] if emulated("bf16") else [("fast", True, "bf16")]
    assert given == expected + half
    # Operations are counted, not timed, so they are the same on a busy machine.
    work = [row["gflops"] * row["seconds_per_step"] for row in result["rows"]]
    assert work[0] > 8 * work[1] > 8 * work[2]
    assert work[2] == pytest.approx(work[-1], rel=1e-6)
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
    assert result["machine"]["load_before"] >= 0 and result["machine"]["load_after"] >= 0
    assert len(result["left_out"]) == (1 if emulated("bf16") else 0)


def test_it_ends_when_time_is_up(rtd, tiny):
    run = rtd("bench", "--backbone", tiny, "--minutes", 0.001, "--quiet")
    assert run.returncode == 0, run.stderr
    left_out = [line for line in run.stdout.splitlines() if line.startswith("left out: ")]
    assert len(left_out) == 8
    assert f"{tiny}, full, reference: two steps take more than the 0 s that there are" in run.stdout
    assert "load_before" in run.stdout
    assert rtd("bench", "--minutes", 0).returncode == 2


def test_an_unknown_backbone(rtd):
    run = rtd("bench", "--backbone", "ViT-X", "--quiet")
    assert run.returncode == 1
    assert "Try ViT-B-32, ViT-L-14 or" in run.stderr
