"""Plain captions have no picture and no prompt, and so need no projection."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from shaken_patches import shaken_patch

from rtd_adapters import EvalOptions, evaluate, load_backbone
from rtd_adapters.errors import FileError, UsageError
from rtd_adapters.evaluation.benchmark import load_benchmark
from rtd_adapters.evaluation.captions import CaptionEmbedder
from rtd_adapters.evaluation.inputs import prepare
from rtd_adapters.hooks.registry import registry
from rtd_adapters.jobs.diagnose import diagnose_benchmark
from rtd_adapters.jobs.evaluate import EvalJob, run_eval

QUIET = EvalOptions(quiet=True, cache=False)
PLAIN = "coco-captions"
GONE = Path("nowhere.pt")


@pytest.fixture(scope="module")
def clip(miniature_clip):
    """The random CLIP, without a projection."""
    return {name: miniature_clip[name] for name in ("backbone", "pretrained")}


@pytest.fixture(scope="module")
def job(clip, benchmark_folder):
    """On plain captions, without a projection."""

    def make(benchmark=PLAIN, **given):
        data = benchmark_folder(benchmark)
        return EvalJob("searle", benchmark, data, options=QUIET, **{**clip, **given})

    return make


@pytest.fixture(scope="module")
def patch(clip, tmp_path_factory):
    backbone = load_backbone(clip["backbone"], clip["pretrained"])
    out = tmp_path_factory.mktemp("patch") / "w.safetensors"
    shaken_patch(backbone, 0.05, seed=3).save(out)
    return out


@pytest.fixture(scope="module")
def triplets(tmp_path_factory):
    file = tmp_path_factory.mktemp("triplets") / "t.jsonl"
    row = '{{"reference": "a dog {0}", "conditioning": "is red", "target": "a red dog {0}"}}\n'
    file.write_text("".join(row.format(number) for number in range(20)))
    return file


def test_each_benchmark_says_whether_it_composes(benchmark_folder):
    plain = {n for n in registry().benchmarks if n.endswith("-captions")}
    assert {PLAIN, "flickr30k-captions", "demo-captions"} <= plain
    for name, source in registry().benchmarks.items():
        root = benchmark_folder(name) if source.needs_data else None
        assert load_benchmark(name, root).composes == (name not in plain), name
    captions, composed = load_benchmark("demo-captions"), load_benchmark("demo")
    assert replace(captions, parts=(*captions.parts, *composed.parts)).composes


@pytest.mark.parametrize("method", ["searle", "pic2word", "context_i2w", "fti4cir"])
def test_every_method_asks_them_alike_and_without_a_projection(
    method, clip, miniature_clip, benchmark_folder, patch
):
    given = {"data": benchmark_folder(PLAIN), "options": QUIET}
    found = evaluate(method, PLAIN, **given, **clip)
    assert found.base == evaluate("searle", PLAIN, patch, **given, **miniature_clip).base
    assert {query.reference for query in found.queries} == {""}


def test_a_projection_is_not_opened_and_that_is_said(job, patch):
    def told(**given):
        lines = []
        result = run_eval(job(patch=patch, **given), lines.append)
        return lines, result.base, result.patched

    silent, *figures = told()
    assert silent == []
    (line,), *same = told(projection=GONE)
    assert same == figures
    assert line == (
        "note: coco-captions asks plain captions, which are embedded without a projection. "
        "--projection is not opened."
    )


def test_composed_queries_need_one_before_a_picture_is_embedded(
    job, clip, benchmark_folder, monkeypatch
):
    monkeypatch.setattr("rtd_adapters.jobs.evaluate.extract", None)
    with pytest.raises(UsageError, match=r"needs --projection\."):
        run_eval(job("cirr"))
    with pytest.raises(FileError, match=r"nowhere\.pt"):
        run_eval(job("cirr", projection=GONE))
    with pytest.raises(UsageError, match=r"needs --projection\."):
        evaluate("searle", "cirr", data=benchmark_folder("cirr"), **clip)


def test_a_backbone_that_brings_none_for_the_method_asks_them_too(monkeypatch):
    def refuse(clip, method):
        raise UsageError("no projection of that")

    monkeypatch.setattr("rtd_adapters.demo.plugin.projection_path", refuse)
    assert prepare(method="searle", benchmark="demo-captions").projection is None
    with pytest.raises(UsageError, match="no projection of that"):
        prepare(method="searle", benchmark="demo")


def test_what_composes_nothing_says_so(clip, benchmark_folder):
    prepared = prepare(method="searle", benchmark=PLAIN, data=benchmark_folder(PLAIN), **clip)
    tower, embedder = prepared.backbone.tower, CaptionEmbedder(prepared)
    assert embedder.plain(tower, ["a dog"]).shape == (1, 32)
    with pytest.raises(UsageError, match="coco-captions asks plain captions, for which no"):
        embedder.refined(tower, ["a dog"], ["is red"])


def test_a_diagnosis_needs_one_for_triplets_alone(
    job, patch, triplets, miniature_clip, monkeypatch
):
    found = {one.name: one for one in diagnose_benchmark(job(patch=patch))}
    alignment = found["anchor-alignment"]
    assert "caption_to_picture_before" in alignment.figures
    assert "query_to_anchor_before" not in alignment.figures
    assert "strength_1" in found["strength"].figures
    with monkeypatch.context() as embedded:
        embedded.setattr("rtd_adapters.jobs.evaluate.extract", None)
        with pytest.raises(UsageError, match=r"needs --projection\."):
            diagnose_benchmark(job(patch=patch), triplets=triplets)
    lines = []
    composed = job(patch=patch, projection=miniature_clip["projection"])
    names = ("anchor-alignment", "modality-gap")
    alignment, gap = diagnose_benchmark(composed, names, triplets=triplets, say=lines.append)
    assert "query_to_anchor_before" in alignment.figures
    assert "refined_before" in gap.figures
    assert not any("not opened" in line for line in lines)
