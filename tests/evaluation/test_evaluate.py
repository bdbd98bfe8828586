"""`rtd eval` and its parts, against plain loops; the authors' own scripts run in tests/upstream."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from shaken_patches import shaken_patch
from tqdm import tqdm

from rtd_adapters import BackboneShape, get_method
from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.clip.image_head import image_head
from rtd_adapters.clip.ranks import target_ranks
from rtd_adapters.clip.sources import backbone_source
from rtd_adapters.clip.text import tower_from_model
from rtd_adapters.errors import BackboneError, EvaluationError, FileError, UsageError
from rtd_adapters.evaluation.benchmark import EvalQuery, Part, load_benchmark
from rtd_adapters.evaluation.bootstrap import interval
from rtd_adapters.evaluation.evaluate import compare, evaluate, submit
from rtd_adapters.evaluation.extraction import extract
from rtd_adapters.evaluation.features import Pictures
from rtd_adapters.evaluation.inputs import EvalOptions, Evaluation, patched_tower, prepare
from rtd_adapters.evaluation.metrics import (
    average_precision,
    recall_at,
    recalls,
    trapezoid_average_precision,
    whole_average_precision,
)
from rtd_adapters.evaluation.outcomes import search_parts
from rtd_adapters.evaluation.pictures import padded
from rtd_adapters.evaluation.report.page import write_report
from rtd_adapters.evaluation.result import QueryRecord, Result
from rtd_adapters.evaluation.search import Gallery, rankings
from rtd_adapters.evaluation.submissions import require_valid
from rtd_adapters.hooks.registry import registry
from rtd_adapters.jobs.evaluate import EvalJob, run_eval
from rtd_adapters.methods.projections import load_projection

REAL = [name for name, source in registry().benchmarks.items() if source.needs_data]
PUBLISHED = {
    "cirr",
    "circo",
    "fashioniq",
    "genecis-focus-attribute",
    "genecis-change-attribute",
    "genecis-focus-object",
    "genecis-change-object",
    "coco-composition",
    "imagenet-r",
    "custom",
    "coco-captions",
    "flickr30k-captions",
    "icir",
    "freedom-imagenet-r",
    "freedom-nico",
    "freedom-minidn",
    "freedom-ltll",
    "patterncom",
    "lasco",
}
SEVERAL = {"circo", "imagenet-r", "icir", "patterncom"} | {n for n in REAL if "freedom" in n}
"""Whose queries have several right answers."""
SHAPE = BackboneShape(32, 64, 64)


@pytest.fixture(scope="module")
def backbone():
    """A small random CLIP with both towers."""
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
    from open_clip.transform import image_transform

    torch.manual_seed(0)
    vision = CLIPVisionCfg(layers=1, width=64, head_width=32, patch_size=16, image_size=32)
    text = CLIPTextCfg(context_length=77, vocab_size=49408, width=64, heads=2, layers=1)
    model = CLIP(32, vision, text)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.eval().requires_grad_(False)
    transform = image_transform(32, is_train=False)
    return Backbone(
        "small", None, tower_from_model(model), SHAPE, model, transform, image_head(model)
    )


@pytest.fixture
def run(backbone, benchmark_folder):
    """Prepares a method on a benchmark."""

    def make(name, method="searle", split="val", **options):
        torch.manual_seed(1)
        chosen = get_method(method)
        projection = chosen.build_projection(SHAPE).eval().requires_grad_(False)
        benchmark = load_benchmark(name, benchmark_folder(name), split)
        chosen_options = EvalOptions(**{"cache": False, "quiet": True, **options})
        return Evaluation(chosen, projection, benchmark, backbone, chosen_options)

    return make


@pytest.fixture
def patch(backbone):
    return shaken_patch(backbone, 0.05)


def test_every_published_benchmark_needs_its_data():
    assert set(REAL) == PUBLISHED


def test_options_are_what_the_docs_say_by_default():
    as_in_cli_md = EvalOptions("clip", 1.0, 64, True, False, None, 0, "no", False, False, ())
    assert EvalOptions() == as_in_cli_md
    assert EvalOptions(batch_size=1).batch_size == 1
    with pytest.raises(UsageError, match="--batch-size is 0"):
        EvalOptions(batch_size=0)


def test_average_precision_against_a_plain_loop():
    draw = random.Random(0)
    for _ in range(300):
        hits = [draw.random() < 0.2 for _ in range(draw.randrange(1, 60))]
        answers = sum(hits) + draw.randrange(3)
        for cutoff in (5, 10, 25, 50):
            precisions = [
                sum(hits[: place + 1]) / (place + 1)
                for place in range(min(cutoff, len(hits)))
                if hits[place]
            ]
            wanted = sum(precisions) / min(answers, cutoff) if answers else 0.0
            assert average_precision(hits, answers, cutoff) == pytest.approx(wanted, abs=1e-12)


def test_average_precisions_of_a_whole_ranking_against_the_area_of_its_curve():
    """Numerically: precision over recall, sampled at each place, joined by straight lines."""
    draw = random.Random(0)
    for _ in range(100):
        ranks = sorted(draw.sample(range(1, 60), draw.randrange(1, 9)))
        recall = np.array([sum(rank <= place for rank in ranks) for place in range(61)])
        precision = np.array([1.0, *(recall[1:] / np.arange(1, 61))])
        area = np.sum(np.diff(recall) * (precision[1:] + precision[:-1]) / 2) / len(ranks)
        assert trapezoid_average_precision(ranks) == pytest.approx(area, abs=1e-12)
        mean = np.mean([precision[rank] for rank in ranks])
        assert whole_average_precision(ranks) == pytest.approx(mean, abs=1e-12)
    assert trapezoid_average_precision([]) == whole_average_precision([]) == 0.0
    assert trapezoid_average_precision([1, 2]) == whole_average_precision([1, 2]) == 1.0


def test_recalls_of_short_rankings():
    assert recalls("r", [False, True], (1, 2, 5)) == {"r@1": 0.0, "r@2": 1.0, "r@5": 1.0}
    assert recalls("r", [], (1,)) == {"r@1": 0.0}


def test_target_ranks_with_ties_and_an_excluded_item_against_sorted():
    draw = random.Random(2)
    scores = torch.tensor([[draw.randrange(6) / 8 for _ in range(20)] for _ in range(200)])
    targets = torch.tensor([draw.randrange(20) for _ in scores])
    excluded = torch.tensor([draw.randrange(20) for _ in scores])
    whole, others = [], []
    for row, target, out in zip(scores.tolist(), targets.tolist(), excluded.tolist(), strict=True):
        order = sorted(range(20), key=lambda item: -row[item])  # stable
        whole.append(order.index(target))
        others.append([item for item in order if item != out or item == target].index(target))
    assert target_ranks(scores, targets).tolist() == whole
    assert target_ranks(scores, targets, excluded).tolist() == others


def test_recall_at_counts_the_first_k():
    ranks = torch.tensor([0, 1, 1, 4, 5])
    assert recall_at(ranks, (1, 2, 5, 6)) == pytest.approx({1: 20, 2: 60, 5: 80, 6: 100})


def test_rankings_with_ties_exclusions_and_candidates_against_sorted():
    draw = random.Random(1)
    ids = [f"i{number}" for number in range(30)]
    for _ in range(100):
        values = [draw.randrange(8) / 8 for _ in ids]
        gallery = torch.tensor([[v, (1 - v * v) ** 0.5] for v in values])
        excluded = tuple(draw.sample(ids, 2))
        candidates = tuple(draw.sample(ids, 9)) if draw.random() < 0.5 else ()
        query = EvalQuery(
            "q", "i0", ("",), ("i3", "i4", "i5"), excluded=excluded, candidates=candidates
        )
        (ranking,) = rankings(torch.tensor([[1.0, 0.0]]), Gallery(ids, gallery), [query])
        scores = (F.normalize(gallery, dim=-1) @ torch.tensor([1.0, 0.0])).tolist()
        inside = [i for i in ids if i not in excluded and (not candidates or i in candidates)]
        wanted = sorted(inside, key=lambda i: -scores[ids.index(i)])  # stable
        assert ranking.top(50) == wanted
        if "i3" in inside:
            assert ranking.rank(["i3"]) == 1 + wanted.index("i3")
        several = [i for i in ("i3", "i4", "i5") if i in inside]
        assert ranking.ranks(several) == sorted(1 + wanted.index(i) for i in several)
        if several:
            assert ranking.rank(["elsewhere", *several]) == 1 + min(map(wanted.index, several))
        assert ranking.rank(["elsewhere"]) is None


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("method", ["searle", "fti4cir"])
def test_every_benchmark_before_and_after(name, method, run, patch):
    """Before is the backbone's own tower, after is the patch's, each searched alone."""
    prepared = run(name, method)
    result = compare(prepared, patch)
    own = prepared.backbone.tower
    patched = replace(prepared.backbone, tower=patch.build_tower(own.state_dict(), 1.0))
    assert result.base == compare(prepared, None).base
    assert result.patched == compare(replace(prepared, backbone=patched), None).base
    assert result.base != result.patched
    assert result.base.keys() == result.intervals.keys()
    for metric, value in result.base.items():
        low, high = result.intervals[metric]
        assert low - 1e-6 <= result.patched[metric] - value <= high + 1e-6
    assert len(result.queries) == sum(result.settings["queries"].values())
    record = result.records()[0]
    assert record["change"] == record["patched"] - record["base"]


@pytest.mark.parametrize("name", [name for name in REAL if name not in SEVERAL])
def test_recalls_are_what_the_ranks_say(name, run, patch):
    """Where a query has one right answer: of each part, and averaged over parts."""
    result = compare(run(name), patch)
    parts = {query.part for query in result.queries}
    for side, figures in (("base_rank", result.base), ("patched_rank", result.patched)):
        cutoffs = {int(key.rsplit("recall@")[1]) for key in figures if "subset" not in key}
        for k in cutoffs:
            shares = {part: [] for part in parts}
            for query in result.queries:
                shares[query.part].append(100 * (getattr(query, side) <= k))
            means = {part: sum(found) / len(found) for part, found in shares.items()}
            wanted = {f"{part} recall@{k}".strip(): mean for part, mean in means.items()}
            if len(parts) > 1:
                wanted[f"average recall@{k}"] = sum(means.values()) / len(means)
            assert {key: figures[key] for key in wanted} == pytest.approx(wanted)


def test_ranks_by_hand(run, backbone):
    """CIRR's, from embeddings and sorting, with none of the searching code."""
    prepared = run("cirr")
    part, method = prepared.benchmark.parts[0], prepared.method
    model, transform = backbone.model, backbone.preprocess
    images = {i: transform(prepared.benchmark.open_image(i)) for i in part.gallery}
    with torch.no_grad():
        gallery = F.normalize(model.encode_image(torch.stack(list(images.values()))), dim=-1)
        raw = model.encode_image(torch.stack([images[q.reference] for q in part.queries]))
        pseudo = prepared.projection(raw)
        tokenizer = method.tokenizer(backbone.tower)
        ids = tokenizer.encode([f"a photo of $ that {q.texts[0]}" for q in part.queries])
        queries = F.normalize(backbone.tower(ids, pseudo, 259), dim=-1)
    wanted = []
    for query, scores in zip(part.queries, queries @ gallery.T, strict=True):
        order = [part.gallery[n] for n in scores.argsort(descending=True).tolist()]
        order.remove(query.reference)
        wanted.append(1 + order.index(query.targets[0]))
    assert [record.base_rank for record in compare(prepared, None).queries] == wanted


@pytest.fixture
def plain_worded():
    """A method whose bare prompt does not open with "a photo of"."""
    method = get_method("searle").configured({})
    method.bare_prompt = "an image showing $"
    return method


@pytest.mark.parametrize("name", ["coco-composition", "imagenet-r"])
def test_a_bare_prompt_that_opens_in_another_way(name, run, plain_worded):
    """Such a benchmark changes the opening; a prompt without it would be asked unchanged."""
    with pytest.raises(EvaluationError, match="an image showing") as caught:
        compare(replace(run(name), method=plain_worded), None)
    for word in (name, "searle", "'a photo of'", "bare_prompt"):
        assert word in str(caught.value)


def test_it_is_refused_before_the_backbone_loads(benchmark_folder, plain_worded, monkeypatch):
    monkeypatch.setattr("rtd_adapters.evaluation.inputs.get_method", lambda name: plain_worded)
    named = {"method": "searle", "backbone": "no such backbone"}
    with pytest.raises(EvaluationError, match="coco-composition asks in its own words"):
        prepare(**named, benchmark="coco-composition", data=benchmark_folder("coco-composition"))
    with pytest.raises(BackboneError, match="no such backbone"):
        prepare(**named, benchmark="cirr", data=benchmark_folder("cirr"))


@pytest.mark.parametrize("name", ["fashioniq", "imagenet-r"])
def test_rivals_stand_beside_base_and_patched(name, run, patch):
    """They change neither; PDV is made once by each tower, all others by the base one."""
    plain, result = compare(run(name), patch), compare(run(name, rivals=True), patch)
    assert (result.base, result.patched) == (plain.base, plain.patched)
    assert (result.intervals, result.queries) == (plain.intervals, plain.queries)
    assert plain.columns == {}
    of_base = ["picture", "text", "sum", "slerp", "pdv"]
    assert list(result.columns) == [*of_base, "pdv on patched"]
    assert list(compare(run(name, rivals=True), None).columns) == of_base
    own = run(name).backbone
    patched = replace(own, tower=patch.build_tower(own.tower.state_dict(), 1.0))
    swapped = compare(replace(run(name, rivals=True), backbone=patched), None)
    assert swapped.columns["pdv"].figures == result.columns["pdv on patched"].figures
    assert swapped.columns["picture"].figures == result.columns["picture"].figures
    for column in result.columns.values():
        assert column.figures.keys() == result.base.keys()
        for metric, (low, high) in column.intervals.items():
            assert low - 1e-6 <= column.figures[metric] - result.base[metric] <= high + 1e-6
    assert Result.from_dict(json.loads(json.dumps(result.to_dict()))) == result


def test_a_rival_of_a_picture_finds_it(run):
    """GeneCIS leaves references out; FashionIQ's stay, and a picture finds itself first."""
    prepared = run("fashioniq", rivals=True)
    asked = tuple(
        replace(part, queries=tuple(replace(q, targets=(q.reference,)) for q in part.queries))
        for part in prepared.benchmark.parts
    )
    found = compare(replace(prepared, benchmark=replace(prepared.benchmark, parts=asked)), None)
    assert found.values["picture"] == {"recall@10": [1.0] * len(found.queries)} | {
        "recall@50": [1.0] * len(found.queries)
    }


def test_strength(run, patch, backbone):
    whole = compare(run("circo"), patch)
    none = compare(run("circo", strength=0.0), patch)
    assert none.patched == pytest.approx(none.base)
    assert whole.settings["strength"] == 1.0
    assert compare(run("circo", strength=0.5), patch).patched != whole.patched


def test_further_strengths_are_columns(run, patch):
    result = compare(run("circo", also_strengths=(0.5, 1.0)), patch)
    assert list(result.columns) == ["strength 0.5", "strength 1"]
    assert result.columns["strength 1"].figures == result.patched
    half = compare(run("circo", strength=0.5), patch)
    assert result.columns["strength 0.5"].figures == half.patched
    assert result.patched == compare(run("circo"), patch).patched
    with pytest.raises(UsageError, match="--strength"):
        EvalOptions(also_strengths=(0.5, 1.5))


def test_a_strength_of_no_patch_is_refused_before_anything_is_loaded():
    options = EvalOptions(also_strengths=(0.5,))
    with pytest.raises(UsageError, match="--also-strength is of a patch, and there is none"):
        evaluate("no method", options=options)
    with pytest.raises(UsageError, match="--also-strength is of a patch"):
        run_eval(EvalJob("no method", options=options))


@pytest.fixture
def captions(run):
    """Prepares CIRR's texts as plain captions that look for its targets."""

    def make(method="searle", **options):
        prepared = run("cirr", method, **options)
        (part,) = prepared.benchmark.parts
        queries = tuple(
            EvalQuery(q.id, "", (q.texts[0], f"$ {q.texts[0]}"), q.targets) for q in part.queries
        )
        parts = (replace(part, queries=queries),)
        score = load_benchmark("demo-captions").score
        return replace(prepared, benchmark=replace(prepared.benchmark, parts=parts, score=score))

    return make


@pytest.mark.parametrize("method", ["searle", "fti4cir"])
def test_plain_captions_are_asked_word_for_word(method, captions, backbone, patch):
    """No prompt and no picture: any method asks them alike."""
    prepared = extract(captions(method, device="cpu"))
    (part,) = prepared.benchmark.parts
    model, transform = backbone.model, backbone.preprocess
    tokenizer = get_method(method).tokenizer(backbone.tower)
    with torch.no_grad():
        pictures = torch.stack([transform(prepared.benchmark.open_image(i)) for i in part.gallery])
        gallery = F.normalize(model.encode_image(pictures), dim=-1)
        orders = [
            F.normalize(
                backbone.tower(tokenizer.encode([q.texts[n] for q in part.queries])), dim=-1
            )
            for n in (0, 1)
        ]
    wanted = []
    for query, scores in zip(part.queries, sum(orders) @ gallery.T, strict=True):
        order = [part.gallery[n] for n in scores.argsort(descending=True).tolist()]
        wanted.append(1 + order.index(query.targets[0]))
    result = compare(prepared, patch if method == "searle" else None)
    assert [record.base_rank for record in result.queries] == wanted
    assert {record.reference for record in result.queries} == {""}


def test_plain_captions_have_no_rivals():
    with pytest.raises(UsageError, match="demo-captions asks plain captions"):
        prepare(method="searle", benchmark="demo-captions", options=EvalOptions(rivals=True))


@pytest.mark.slow
def test_the_worlds_captions_are_those_that_a_patch_is_judged_by():
    """`rtd patch` prints text-to-image figures of them, by code of its own."""
    prepared = prepare(
        method="searle", benchmark="demo-captions", options=EvalOptions(cache=False, quiet=True)
    )
    projection, _ = load_projection(prepared.method, prepared.backbone, None)
    world = backbone_source("demo").world(prepared.method, projection, prepared.backbone)
    wanted = world.evaluate(prepared.backbone.tower)
    found = compare(extract(prepared), None).base
    for k in (1, 5, 10):
        assert found[f"recall@{k}"] == pytest.approx(wanted[f"text_to_image_recall@{k}"], abs=0.2)


def test_a_patch_is_whole_by_default(patch, backbone):
    whole = patch.build_tower(backbone.tower.state_dict(), 1.0).state_dict()
    for name, tensor in patched_tower(backbone, patch).state_dict().items():
        assert torch.equal(tensor, whole[name])


def test_a_benchmark_and_a_backbone_that_do_not_go_together(benchmark_folder):
    with pytest.raises(UsageError, match="cirr and the backbone demo do not go together"):
        prepare(method="searle", benchmark="cirr", data=benchmark_folder("cirr"))
    with pytest.raises(UsageError, match="demo and the backbone ViT-B-32 do not go together"):
        prepare(method="searle", backbone="ViT-B-32")


def test_bars_of_progress(run, monkeypatch):
    """Each is named and shown on terminals, unless there shall be quiet; small ones never are."""
    shown = []

    def bar(steps=None, *, desc, disable, total=None, initial=0, unit=None):
        shown.append((desc, disable))
        return steps or tqdm(total=total, disable=True)

    for module in ("shards", "outcomes"):
        monkeypatch.setattr(f"rtd_adapters.evaluation.{module}.tqdm", bar)
    pictures, queries = "embedding pictures", "searching, base"
    for method, titles in (
        ("searle", [(pictures, None), (pictures, None), (queries, None)]),
        ("fti4cir", [(pictures, None), (queries, None)]),
    ):
        shown.clear()
        compare(run("circo", method, quiet=False), None)
        assert shown == titles
        shown.clear()
        compare(run("circo", method, quiet=True), None)
        assert shown == [(title, True) for title, _ in titles]


def test_an_outcome_keeps_fifty_places(run, backbone):
    (outcomes,) = search_parts(run("circo", batch_size=7), backbone.tower, "")
    assert len(outcomes) == 30
    assert {len(outcome.top) for outcome in outcomes} == {50}


@pytest.mark.parametrize("method", ["searle", "fti4cir"])
@pytest.mark.parametrize("name", ["cirr", "circo", "genecis-focus-object"])
def test_without_broken_pictures_figures_are_those_of_a_benchmark_that_lacks_them(
    name, method, run, patch
):
    asked = run(name, method, skip_broken=True, device="cpu")
    (part,), own = asked.benchmark.parts, asked.benchmark.open_image
    broken = {part.queries[0].reference, *part.queries[1].targets}

    def open_image(image):
        if image in broken:
            raise FileError(f"{image} is broken")
        return own(image)

    asked = replace(asked, benchmark=replace(asked.benchmark, open_image=open_image))
    with pytest.raises(FileError, match="is broken"):
        compare(extract(replace(asked, options=replace(asked.options, skip_broken=False))), patch)
    found = compare(extract(asked), patch if method == "searle" else None)

    def kept(ids):
        return tuple(image for image in ids if image not in broken)

    queries = tuple(
        replace(
            query,
            targets=kept(query.targets),
            candidates=kept(query.candidates),
            group=kept(query.group),
        )
        for query in part.queries
        if query.reference not in broken and kept(query.targets)
    )
    assert len(queries) < len(part.queries)
    parts = (Part(part.name, kept(part.gallery), queries),)
    lacking = run(name, method)
    lacking = replace(lacking, benchmark=replace(lacking.benchmark, parts=parts))
    expected = compare(lacking, patch if method == "searle" else None)
    assert found.base == pytest.approx(expected.base)
    assert found.queries == expected.queries
    lost = found.settings["left_out"]
    assert lost["pictures"] == len(broken)
    assert lost["queries"] == len(part.queries) - len(queries)


def test_embeddings_are_kept_and_found_again(run, tmp_path, monkeypatch):
    monkeypatch.setenv("RTD_CACHE", str(tmp_path))
    first = compare(run("cirr", cache=True), None)
    kept = sorted(tmp_path.rglob("*.safetensors"))
    assert kept
    prepared = run("cirr", cache=True)

    def closed(image):
        raise AssertionError("a picture was opened again")

    again = compare(
        replace(prepared, benchmark=replace(prepared.benchmark, open_image=closed)),
        None,
    )
    assert again.base == first.base
    kept[0].write_bytes(b"damaged")
    with pytest.warns(UserWarning, match=f"{kept[0].name} does not hold what was written"):
        assert compare(run("cirr", cache=True), None).base == first.base
    other = compare(run("cirr", cache=True, preprocess="targetpad"), None)
    assert len(list(tmp_path.rglob("*.safetensors"))) > len(kept)
    assert other.settings["preprocessing"] == "targetpad"


def test_a_run_embeds_and_checks_each_list_once(run, tmp_path, monkeypatch):
    monkeypatch.setenv("RTD_CACHE", str(tmp_path))
    asked, own = [], Pictures._extract

    def counted(pictures, key, ids, processes):
        asked.append(ids)
        return own(pictures, key, ids, processes)

    monkeypatch.setattr(Pictures, "_extract", counted)
    prepared = run("freedom-nico", cache=True, device="cpu")
    parts = prepared.benchmark.parts
    assert len(parts) > len({part.gallery for part in parts})
    evaluation = extract(prepared)
    compare(evaluation, None)
    compare(evaluation, None)
    assert len(asked) == len(set(asked))
    assert set(asked) == {ids for part in parts for ids in (part.gallery, part.references)}


def test_target_padding():
    from PIL import Image

    assert padded(Image.new("RGB", (100, 90))).size == (100, 90)
    assert padded(Image.new("RGB", (200, 100))).size == (200, 160)
    assert padded(Image.new("RGB", (100, 200))).size == (160, 200)


def test_the_interval_covers_what_a_formula_covers():
    """1.96 standard errors; 1.64 or 2.05, for 90 or 96 %, are out. Parts count alike."""
    torch.manual_seed(0)
    parts = [torch.randn(400) + 0.3, 2 * torch.randn(900) - 1]
    for chosen in (parts[:1], parts):
        mean = sum(part.mean().item() for part in chosen) / len(chosen)
        error = sum(part.var().item() / len(part) for part in chosen) ** 0.5 / len(chosen)
        intervals = torch.tensor([interval(chosen, seed) for seed in range(20)])
        low, high = ((intervals.mean(0) - mean) / error).tolist()
        assert low == pytest.approx(-1.96, abs=0.05)
        assert high == pytest.approx(1.96, abs=0.05)


def test_submissions_have_the_servers_forms(run, tmp_path):
    for name in ("cirr", "circo"):
        files = submit(run(name, split="test"), None, tmp_path / name)
        content = {file.name: json.loads(file.read_text()) for file in files}
        if name == "circo":
            ranked = content["circo.json"]
            assert all(isinstance(i, int) for ids in ranked.values() for i in ids)
            assert {len(set(ids)) for ids in ranked.values()} == {50}
        else:
            assert content["recall.json"].pop("version") == "rc2"
            assert content["recall.json"].pop("metric") == "recall"
            assert content["recall_subset.json"].pop("metric") == "recall_subset"
            content["recall_subset.json"].pop("version")
            assert {len(set(v)) for v in content["recall.json"].values()} == {50}
            assert {len(set(v)) for v in content["recall_subset.json"].values()} == {3}
    with pytest.raises(UsageError, match="no test server"):
        submit(run("genecis-focus-object"), None, tmp_path)


def test_a_submission_that_the_server_would_refuse():
    queries = [EvalQuery(str(n), "a", ("",), ()) for n in range(3)]
    with pytest.raises(EvaluationError, match="missing: 2"):
        require_valid({"0": ["a"], "1": ["a"]}, queries, 1)
    with pytest.raises(EvaluationError, match="query 1 ranks 1 different"):
        require_valid({"0": ["a", "b"], "1": ["a", "a"], "2": ["a", "b"]}, queries, 2)


@pytest.mark.parametrize("name", REAL)
def test_missing_files_are_named(name, benchmark_folder, tmp_path):
    with pytest.raises(FileError, match="lacks"):
        load_benchmark(name, tmp_path)
    with pytest.raises(UsageError, match="needs --data"):
        load_benchmark(name)
    with pytest.raises(UsageError, match="no split"):
        load_benchmark(name, benchmark_folder(name), "train")


def test_damaged_annotations_and_pictures(benchmark_folder, tmp_path, run, backbone):
    root = tmp_path / "cirr"
    shutil.copytree(benchmark_folder("cirr"), root)
    (root / "dev/dev-7-0-img0.png").write_bytes(b"no picture")
    benchmark = load_benchmark("cirr", root)
    with pytest.raises(FileError, match=r"dev-7-0-img0\.png cannot be read as a picture"):
        benchmark.open_image("dev-7-0-img0")
    (root / "cirr/captions/cap.rc2.val.json").write_text("{")
    with pytest.raises(FileError, match="not valid JSON"):
        load_benchmark("cirr", root)


def record(text="is red"):
    return QueryRecord("0", "", "a", text, ["b"], "kind", 9, 1, ["a"], ["b"], 1)


def test_a_result_comes_back_as_it_was(tmp_path):
    result = Result(
        "searle", "cirr", "val", {"r": 1.0}, {"r": 2.0}, {"r": (0.5, 1.5)}, [record()], {"a": 1}
    )
    result.save(tmp_path / "result.json")
    assert Result.load(tmp_path / "result.json") == result
    assert Result.from_dict(result.to_dict()) == result
    (tmp_path / "bad.json").write_text('{"method": 1}')
    with pytest.raises(FileError, match="no result of rtd eval"):
        Result.load(tmp_path / "bad.json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"base": [1]}, "'base': it is a list, where an object belongs"),
        ({"base": {"r": "1"}}, "'base': 'r' is a text, where a number belongs"),
        ({"base": {"r": 10**400}}, "'r' is not between"),
        ({"patched": {"other": 1.0}}, "not of the same metrics"),
        ({"intervals": {"r": [1.0]}}, "'r' has 1 ends"),
        ({"queries": [{"id": "1"}]}, "'queries', entry 0: 'part' is missing"),
        ({"queries": [asdict(record()) | {"base_rank": 0}]}, "'base_rank' is 0"),
        ({"queries": [asdict(record()) | {"targets": [5]}]}, "'targets' is a number"),
        ({"queries": [asdict(record()) | {"answers": 0}]}, "'answers' is 0, and 'targets' names 1"),
        ({"queries": [asdict(record()) | {"answers": 1.5}]}, "'answers' is 1.5"),
        ({"settings": {"a": ["\ud800"]}}, "half a character"),
    ],
)
def test_what_is_wrong_in_a_result_is_named(change, words, tmp_path):
    result = Result(
        "searle", "cirr", "val", {"r": 1.0}, {"r": 2.0}, {"r": (0.5, 1.5)}, [record()], {"a": 1}
    )
    path = tmp_path / "result.json"
    path.write_text(json.dumps(result.to_dict() | change))
    with pytest.raises(FileError) as caught:
        write_report(tmp_path, tmp_path / "report.html")
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    "line", [b"[]", b"5", b'{"loss": 1}', b'{"step": 1, "loss": "x"}', b"\xff"]
)
def test_a_damaged_line_of_training_figures_is_named(line, tmp_path):
    result = Result("searle", "cirr", "val", {"r": 1.0}, None, {}, [record()], {})
    result.save(tmp_path / "result.json")
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1, "loss": 2.0}\n' + line + b"\n")
    with pytest.raises(FileError, match=r"metrics\.jsonl, line 2"):
        write_report(tmp_path, tmp_path / "report.html")


def test_hostile_texts_stay_texts_in_the_report(tmp_path):
    text = '<script>alert(1)</script> @@TITLE@@ " onload="x'
    result = Result("searle", "cirr", "val", {"<b>": 1.0}, None, {}, [record(text)], {text: text})
    result.save(tmp_path / "result.json")
    write_report(tmp_path, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "<script>alert" not in page
    assert 'onload="x' not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; @@TITLE@@" in page
    assert page.count("<script>") == 1
    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.slow
def test_the_report_in_a_real_browser(run, patch, tmp_path):
    """Its script runs without complaint, counts what the filters leave, and pictures load."""
    import subprocess

    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("there is no Chromium here")
    from rtd_adapters.evaluation.report.strips import choose, keep_pictures, pictures_of

    prepared = run("cirr")
    result = compare(prepared, patch)
    strips = choose(result)
    keep_pictures(prepared.benchmark, pictures_of(strips), tmp_path)
    result.save(tmp_path / "result.json")
    shown = write_report(tmp_path, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    check = """<script>
    const pressed = group => {
      document.querySelector(`button[data-group="${group}"]`).click();
      return document.getElementById("count").textContent;
    };
    const counts = ["gain", "loss", ""].map(pressed).join("; ");
    const broken = [...document.images].filter(i => !i.complete || !i.naturalWidth).length;
    document.title = `counts ${counts}; broken ${broken}; pictures ${document.images.length}`;
    </script></body>"""
    page = page.replace("<head>", "<head><script>onerror = e => document.title = e</script>")
    (tmp_path / "checked.html").write_text(page.replace("</body>", check))
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--dump-dom")
    done = subprocess.run(
        [browser, *options, f"file://{tmp_path}/checked.html"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    title = done.stdout.split("<title>")[1].split("</title>")[0]
    groups = [sum(strip.group == group for strip in strips) for group in ("gain", "loss")]
    wanted = [f"{count} of {shown}" for count in (*groups, shown)]
    assert title.startswith(f"counts {'; '.join(wanted)}; broken 0; pictures ")
    assert int(title.rsplit(" ", 1)[1]) >= 11 * shown
