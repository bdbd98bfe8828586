"""`rtd eval` and `rtd diagnose` on plain captions."""

from __future__ import annotations

import json


def test_plain_captions_need_no_projection(rtd, miniature_clip, benchmark_folder):
    clip = [w for name in ("backbone", "pretrained") for w in (f"--{name}", miniature_clip[name])]
    asked = ("eval", "--method", "searle", *clip, "--no-cache", "--device", "cpu", "--json")
    plain = ("--benchmark", "coco-captions", "--data", benchmark_folder("coco-captions"))
    done = rtd(*asked, *plain)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert json.loads(done.stdout)["base"].keys() == {"recall@1", "recall@5", "recall@10"}
    composed = rtd(*asked, "--benchmark", "cirr", "--data", benchmark_folder("cirr"))
    assert composed.returncode == 2
    assert "needs --projection." in composed.stderr
