"""`rtd data check`: what is missing, how large it is, and what programs and shells see of it."""

from __future__ import annotations

import json
import shutil

import pytest

from rtd_adapters.evaluation.benchmark import BenchmarkSource, PartSize, get_benchmark
from rtd_adapters.hooks.kinds import BENCHMARK
from rtd_adapters.hooks.registry import registry

BENCHMARKS = [name for name, source in registry().benchmarks.items() if source.needs_data]
COUNTS = {
    "cirr": {"": (60, 40)},
    "circo": {"": (60, 30)},
    "fashioniq": dict.fromkeys(("dress", "shirt", "toptee"), (60, 40)),
    "coco-composition": {"": (60, 60)},
    "imagenet-r": dict.fromkeys(("cartoon", "origami", "toy", "sculpture"), (60, 20)),
    "custom": {"hats": (60, 10), "shoes": (60, 10)},
    "lasco": {"": (60, 40)},
}
"""Of the miniatures: pictures and queries."""


def checked(rtd, name, root, *arguments):
    run = rtd("data", "check", name, "--data", root, "--json", *arguments)
    return run.returncode, json.loads(run.stdout)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_whole_benchmark_is_counted(name, rtd, benchmark_folder):
    code, found = checked(rtd, name, benchmark_folder(name))
    assert (code, found["missing"]) == (0, [])
    if name in COUNTS:
        counts = {part["name"]: (part["pictures"], part["queries"]) for part in found["parts"]}
        assert counts == COUNTS[name]


@pytest.mark.parametrize(
    ("name", "gone", "missing"),
    [
        ("cirr", "dev/dev-7-0-img0.png", ["dev/dev-7-0-img0.png"]),
        ("cirr", "dev", [f"dev/dev-{number}-0-img0.png" for number in range(60)]),
        ("cirr", "cirr/captions", ["cirr/captions/cap.rc2.val.json"]),
        ("fashioniq", "images/S00003.jpg", ["images/S00003.jpg"]),
        (
            "coco-composition",
            "val2017_masked/000000000003.jpg",
            ["val2017_masked/000000000003.jpg"],
        ),
        ("imagenet-r", "imgnet/real/4.jpg", ["imgnet/real/4.jpg"]),
        (
            "lasco",
            "val2014/COCO_val2014_000000000207.jpg",  # asked with, and not searched
            ["val2014/COCO_val2014_000000000207.jpg"],
        ),
        ("lasco", "lasco_val_corpus.json", ["lasco_val_corpus.json"]),
        ("lasco", "val2014", ["val2014"]),
        ("custom", "asked", [f"asked/{number}.png" for number in range(20)]),
        ("custom", "queries.csv", ["queries.csv or queries.jsonl"]),
    ],
)
def test_everything_that_is_missing_is_listed(name, gone, missing, rtd, benchmark_folder, tmp_path):
    root = tmp_path / name
    shutil.copytree(benchmark_folder(name), root)
    shutil.rmtree(root / gone) if (root / gone).is_dir() else (root / gone).unlink()
    code, found = checked(rtd, name, root)
    assert code == 1
    assert sorted(found["missing"]) == sorted(missing)
    shown = rtd("data", "check", name, "--data", root)
    assert shown.returncode == 1
    assert shown.stdout.count("  missing  ") == min(len(missing), 20 + 1)
    assert (f"and {len(missing) - 20} more" in shown.stdout) == (len(missing) > 20)


def test_a_gallery_of_another_size_is_flagged(rtd, benchmark_folder):
    code, found = checked(rtd, "cirr", benchmark_folder("cirr"), "--split", "test")
    assert code == 0
    assert found["flags"][0].startswith("the gallery has 60 pictures, and 2,315 were published")
    assert found["flags"][1].startswith("the gallery has 40 queries, and 4,148 were published")
    _, found = checked(rtd, "lasco", benchmark_folder("lasco"))
    published = [flag.split(" and ")[1].split(" were")[0] for flag in found["flags"]]
    assert published == ["39,826", "30,037"]
    _, found = checked(rtd, "fashioniq", benchmark_folder("fashioniq"))
    assert [flag.split(" has")[0] for flag in found["flags"][::2]] == ["dress", "shirt", "toptee"]
    shown = rtd("data", "check", "cirr", "--data", benchmark_folder("cirr")).stdout
    assert "mind     the gallery has 60 pictures, and 2,297 were published" in shown


def test_the_published_size_is_not_flagged(rtd, benchmark_folder, monkeypatch):
    source = get_benchmark("cirr")
    for size, flags in (
        (PartSize(60, 40), 0),
        (PartSize(None, 40), 0),
        (PartSize(60, 41), 1),
        (PartSize(59, None), 1),
    ):
        own = BenchmarkSource("cirr", "", source.load, sizes={"val": {"": size}})
        monkeypatch.setitem(registry().things[BENCHMARK.noun], "cirr", own)
        assert len(checked(rtd, "cirr", benchmark_folder("cirr"))[1]["flags"]) == flags


def test_what_is_not_known_is_said(rtd, benchmark_folder):
    shown = rtd(
        "data",
        "check",
        "genecis-focus-attribute",
        "--data",
        benchmark_folder("genecis-focus-attribute"),
    )
    assert "(published size not known)" in shown.stdout
    assert "nothing is missing" in shown.stdout


def test_damage_and_wrong_usage(rtd, benchmark_folder, tmp_path):
    root = tmp_path / "cirr"
    shutil.copytree(benchmark_folder("cirr"), root)
    (root / "cirr/captions/cap.rc2.val.json").write_text("{")
    assert rtd("data", "check", "cirr", "--data", root).returncode == 1
    assert rtd("data", "check", "cirr").returncode == 2
    assert "no split" in rtd("data", "check", "custom", "--data", root, "--split", "test").stderr
    assert rtd("data", "check", "demo").returncode == 0
