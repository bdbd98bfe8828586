"""`rtd sweep` on a benchmark, and what it refuses."""

from __future__ import annotations

import json

import pytest

from rtd_adapters import EvalOptions, TextEncoderPatch
from rtd_adapters.errors import UsageError


def test_on_a_benchmark(rtd, miniature_clip, benchmark_folder, tmp_path):
    triplets, out = tmp_path / "triplets.jsonl", tmp_path / "s"
    names = ("reference_caption", "conditioning_caption", "target_caption")
    rows = [(f"a dog {n}", f"is number {n + 1}", f"a dog {n + 1}") for n in range(30)]
    triplets.write_text("\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows))
    clip = [word for name, value in miniature_clip.items() for word in (f"--{name}", value)]
    asked = ("sweep", "--method", "searle", *clip, "--strategy", triplets, "--out", out)
    asked = (*asked, "--benchmark", "cirr", "--data", benchmark_folder("cirr"))
    asked = (*asked, "--max-steps", 1, "--batch-size", 4, "--lr", 1e-4, "--device", "cpu")
    shown = rtd(*asked)
    assert shown.returncode == 0, shown.stderr
    assert "recall@1" in shown.stdout
    assert "Diagnostics in cirr" in (out / "sweep.html").read_text()
    (row,) = json.loads(rtd(*asked, "--json").stdout)
    assert row["name"] == "triplets-triplets"
    assert row["intervals"].keys() == row["before"].keys()
    training = TextEncoderPatch.load(out / "triplets-triplets.safetensors").metadata.training
    assert (training["batch_size"], training["learning_rate"]) == (4, 1e-4)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((), "Pass one of --noise-scale, --strength, --strategy, --ablation."),
        (("--ablation", "--strength", "0,1"), "Pass one of"),
        (("--strength", "half"), "'half' is no list of numbers"),
        (("--strategy", "a", "--triplets", "b"), "Pass either --triplets or --strategy."),
        (("--ablation", "--workers", 2), "--workers needs --benchmark."),
        (("--ablation", "--data", "."), "--data needs --benchmark."),
    ],
)
def test_wrong_usage(given, words, rtd, tmp_path):
    refused = rtd("sweep", "--method", "searle", "--out", tmp_path / "s", *given)
    assert refused.returncode == 2
    assert words in refused.stderr
    assert not (tmp_path / "s").exists()


def test_options_of_the_extraction_reach_it(rtd, monkeypatch, tmp_path):
    seen = []

    def asked(job, changes, folder, say, searched, jobs):
        seen.append((job, searched, jobs))
        raise UsageError("seen")

    monkeypatch.setattr("rtd_adapters.jobs.sweep.run_sweep", asked)
    given = ("--workers", 3, "--precision", "bf16", "--device", "cpu", "--batch-size", 7)
    given = (*given, "--jobs", 3)
    benchmark = ("--benchmark", "cirr", "--data", tmp_path, "--skip-broken", "--json")
    out = ("--ablation", "--out", tmp_path / "s")
    assert "seen" in rtd("sweep", "--method", "searle", *given, *benchmark, *out).stderr
    ((job, searched, jobs),) = seen
    assert jobs == 3
    how = EvalOptions(workers=3, precision="bf16", device="cpu", skip_broken=True, quiet=True)
    assert searched.options == how
    assert (searched.benchmark, searched.data) == ("cirr", tmp_path)
    assert (job.options.device, job.settings.batch_size) == ("cpu", 7)
