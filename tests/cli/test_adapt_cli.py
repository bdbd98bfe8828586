"""`rtd adapt` on the command line."""

from __future__ import annotations

import json

from rtd_adapters.demo.caption_file import training_captions


def test_figures_before_and_after(rtd, tmp_path):
    captions = tmp_path / "captions.txt"
    captions.write_text("\n".join(training_captions(300)))
    command = (
        *("adapt", "--captions", captions, "--keywords", "word-list", "--out", tmp_path / "out"),
        *("--projection-steps", 2, "--projection-batch-size", 8, "--max-steps", 2),
        *("--batch-size", 8),
    )
    shown = rtd(*command)
    assert shown.returncode == 0, shown.stderr
    for words in ("projection: 2 steps", "inversion_recall@1", "triplets: ", "patch: 2 steps"):
        assert words in shown.stdout
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"rtd adapt --captions {captions}" in card
    told = json.loads(rtd(*command, "--json").stdout)
    assert told["patch"]["figures"]["before"].keys() == told["patch"]["figures"]["after"].keys()


def test_another_methods_captions(rtd, tmp_path):
    refused = rtd("adapt", "--method", "searle", "--captions", "c.txt", "--out", tmp_path / "out")
    assert refused.returncode == 2
    assert "rtd projection train" in refused.stderr
    assert not (tmp_path / "out").exists()
