"""Questions asked on benchmarks, against plain loops over the same pictures and texts."""

from __future__ import annotations

import json
import random
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from shaken_patches import shaken_patch

from rtd_adapters import BackboneShape, EvalOptions, TextEncoderPatch, evaluate
from rtd_adapters.errors import UsageError
from rtd_adapters.evaluation.benchmark import EvalQuery, Part
from rtd_adapters.evaluation.captions import captioned_pictures
from rtd_adapters.evaluation.features import pictures_of
from rtd_adapters.evaluation.inputs import patched_tower
from rtd_adapters.evaluation.measures import Measures
from rtd_adapters.evaluation.perturbations import CHANGES, SEED, perturbed
from rtd_adapters.evaluation.questions import QUESTIONS
from rtd_adapters.evaluation.report.page import write_diagnoses
from rtd_adapters.evaluation.report.whiskers import whisker_chart
from rtd_adapters.evaluation.rows import in_blocks
from rtd_adapters.evaluation.search import Gallery
from rtd_adapters.evaluation.subject import Subject
from rtd_adapters.jobs.diagnose import diagnose_benchmark
from rtd_adapters.jobs.evaluate import EvalJob, load_evaluation

COLORS = ["red", "blue", "green", "grey"]
QUIET = EvalOptions(quiet=True, cache=False)


@pytest.fixture(scope="module")
def patch(miniature_clip, tmp_path_factory):
    """A file of a patch that is far from its base."""
    from rtd_adapters import load_backbone

    backbone = load_backbone(miniature_clip["backbone"], miniature_clip["pretrained"])
    out = tmp_path_factory.mktemp("patch") / "w.safetensors"
    shaken_patch(backbone, 0.05).save(out)
    return out


@pytest.fixture(scope="module")
def shop(benchmark_folder, tmp_path_factory):
    """The benchmark in the open format, its pictures captioned: one of the gallery twice."""
    root = tmp_path_factory.mktemp("shop") / "shop"
    shutil.copytree(benchmark_folder("custom"), root)
    names = [f"gallery/{'ab'[n % 2]}/{n}.png" for n in range(30)]
    names += [f"asked/{n}.png" for n in range(15)]
    rows = [
        {"picture": name, "caption": f"a {COLORS[n % 4]} thing, number {n}"}
        for n, name in enumerate(names)
    ]
    rows.append({"picture": names[0], "caption": "another one"})
    (root / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return root


@pytest.fixture(scope="module")
def triplets(tmp_path_factory):
    file = tmp_path_factory.mktemp("triplets") / "triplets.jsonl"
    names = ("reference_caption", "conditioning_caption", "target_caption")
    rows = [
        (f"a {COLORS[n % 4]} dog {n}", f"is {COLORS[n % 3]}", f"One {COLORS[n % 3]} dog {n}")
        for n in range(40)
    ]
    file.write_text("\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows))
    return file


@pytest.fixture(scope="module")
def job(miniature_clip, patch):
    """On a benchmark, with that patch."""

    def make(benchmark, data, **given):
        return EvalJob(
            "searle",
            benchmark,
            data,
            **{"patch": patch, "options": QUIET, **miniature_clip, **given},
        )

    return make


@pytest.fixture(scope="module")
def subject(job, shop, patch):
    evaluation = load_evaluation(job("custom", shop), "val", lambda line: None)
    return Subject(evaluation, TextEncoderPatch.load(patch))


@pytest.fixture(scope="module")
def result(miniature_clip, shop, patch):
    """What `rtd eval` finds there."""
    return evaluate("searle", "custom", patch, data=shop, options=QUIET, **miniature_clip)


@pytest.fixture(scope="module")
def found(subject):
    return {name: ask(subject) for name, ask in QUESTIONS.items()}


def embedded(subject, tower, captions):
    tokenizer = subject.evaluation.method.tokenizer(tower)
    return F.normalize(tower(tokenizer.encode(captions)), dim=-1)


def test_unchanged_texts_and_both_ends_are_what_eval_finds(found, result):
    for side, figures in (("before", result.base), ("after", result.patched)):
        wanted = pytest.approx(figures["average recall@1"])
        assert found["robustness"].figures[f"unchanged_{side}"] == wanted
        end = {"before": "strength_0", "after": "strength_1"}[side]
        assert found["strength"].figures[end] == wanted
    ends = found["robustness"].intervals["unchanged_change"]
    assert ends == pytest.approx(result.intervals["average recall@1"])


@pytest.mark.parametrize("name", ["typo", "negated"])
def test_a_change_is_that_of_the_benchmarks_own_texts(
    name, found, shop, miniature_clip, patch, tmp_path
):
    """The changed texts, written into the benchmark's own table, and searched by `rtd eval`."""
    import csv

    root = tmp_path / "shop"
    shutil.copytree(shop, root)
    with (shop / "queries.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    draw = random.Random(SEED)
    for category in ("hats", "shoes"):  # the order of the parts
        for row in rows:
            if row["category"] == category:
                row["text"] = CHANGES[name](row["text"], draw)
    with (root / "queries.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    changed = evaluate("searle", "custom", patch, data=root, options=QUIET, **miniature_clip)
    figures = found["robustness"].figures
    assert figures[f"{name}_before"] == pytest.approx(changed.base["average recall@1"])
    assert figures[f"{name}_after"] == pytest.approx(changed.patched["average recall@1"])


def test_every_figure_has_an_interval_around_it_and_a_change_is_apart(found):
    for one in found.values():
        assert one.figures
        for name, value in one.figures.items():
            low, high = one.intervals[name]
            assert low <= value <= high, name
            change = name.endswith("_change") or name.startswith("refined_over")
            assert one.units.get(name, "per cent").startswith(("points", "change of")) == change


def test_captions_and_their_pictures_by_hand(found, subject):
    gallery = subject.gallery
    captions = subject.benchmark.captions
    pairs = [(c, image) for image in gallery.ids for c in captions.get(image, ())]
    assert len(pairs) == 31
    pictures = F.normalize(gallery.embeddings[:].double(), dim=-1)
    figures = found["anchor-alignment"].figures
    for side, tower in (("before", subject.base), ("after", subject.patched)):
        cosines, hits = [], []
        for caption, image in pairs:
            scores = pictures @ embedded(subject, tower, [caption])[0].double()
            place = gallery.ids.index(image)
            cosines.append(scores[place].item())
            hits.append(scores.argmax().item() == place)
        wanted = sum(cosines) / len(cosines)
        assert figures[f"caption_to_picture_{side}"] == pytest.approx(wanted, abs=1e-5)
        share = 100 * sum(hits) / len(hits)
        assert figures[f"text_to_image_recall@1_{side}"] == pytest.approx(share)
    assert found["anchor-alignment"].reading.startswith("The cosine of 31 captions to their pict")


def test_centroids_by_hand(found, subject):
    pictures = F.normalize(subject.gallery.embeddings[:], dim=-1).mean(0)
    captions = [
        text for image in subject.gallery.ids for text in subject.benchmark.captions.get(image, ())
    ]
    figures = found["modality-gap"].figures
    tokenizer = subject.evaluation.method.tokenizer(subject.base)
    module = subject.evaluation.projection
    parts = subject.benchmark.parts
    queries = [query for part in parts for query in part.queries]
    for side, tower in (("before", subject.base), ("after", subject.patched)):
        texts = embedded(subject, tower, captions).mean(0)
        wanted = (texts - pictures).norm().item()
        assert figures[f"captions_to_pictures_{side}"] == pytest.approx(wanted, abs=1e-5)
        asked = []
        for query in queries:
            seen = pictures_of(subject.evaluation).embeddings((query.reference,))
            ids = tokenizer.encode([f"a photo of $ that {query.texts[0]}"])
            asked.append(F.normalize(tower(ids, module(seen), tokenizer.placeholder_id), dim=-1))
        wanted = (torch.cat(asked).mean(0) - pictures).norm().item()
        assert figures[f"queries_to_pictures_{side}"] == pytest.approx(wanted, abs=1e-5)


def test_the_galleries_of_several_parts_are_one_with_each_picture_once(
    job, benchmark_folder, patch
):
    evaluation = load_evaluation(job("fashioniq", benchmark_folder("fashioniq")), "val", print)
    first, *others = evaluation.benchmark.parts
    again = replace(first, gallery=(*others[0].gallery[3:5], *first.gallery[1::2]))
    benchmark = replace(evaluation.benchmark, parts=(first, *others, again))
    gallery = Subject(
        replace(evaluation, benchmark=benchmark), TextEncoderPatch.load(patch)
    ).gallery
    rows = {}
    for part in benchmark.parts:
        rows |= zip(part.gallery, pictures_of(evaluation).embeddings(part.gallery)[:], strict=True)
    assert gallery.ids == tuple(rows)
    assert len(gallery.embeddings) == len(rows)
    assert torch.equal(gallery.embeddings[:], torch.stack(list(rows.values())))


def test_the_pictures_centre_is_that_of_what_could_be_read(monkeypatch):
    monkeypatch.setattr(
        "rtd_adapters.evaluation.subject.in_blocks", lambda rows: in_blocks(rows, 7)
    )
    rows = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    rows[8, 1] = torch.nan
    subject = Subject(SimpleNamespace(backbone=SimpleNamespace(shape=BackboneShape(3, 3, 3))), None)
    subject.__dict__["gallery"] = Gallery(list(map(str, range(20))), rows)
    assert subject.broken == {"8"}
    sound = [row / row.norm() for n, row in enumerate(rows.double()) if n != 8]
    torch.testing.assert_close(subject.centre, sum(sound) / 19, rtol=0, atol=1e-15)


def test_both_concatenations_by_hand(found, subject):
    """On those queries whose reference has a caption: 15 of 20."""
    captions, figures = subject.benchmark.captions, found["modality-gap"].figures
    tokenizer = subject.evaluation.method.tokenizer(subject.base)
    module = subject.evaluation.projection
    gallery = F.normalize(subject.gallery.embeddings[:], dim=-1)
    for side, tower in (("before", subject.base), ("after", subject.patched)):
        averages = {"refined": [], "replaced": []}
        for part in subject.benchmark.parts:
            hits = {"refined": [], "replaced": []}
            for query in part.queries:
                if query.reference not in captions:
                    continue
                caption, text = captions[query.reference][0], query.texts[0]
                pseudo = module(subject.base(tokenizer.encode([caption])))
                ids = tokenizer.encode([f"a photo of $ that {text}"])
                vectors = {
                    "refined": tower(ids, pseudo, tokenizer.placeholder_id)[0],
                    "replaced": tower(tokenizer.encode([f"a photo of {caption} that {text}"]))[0],
                }
                place = subject.gallery.ids.index(query.targets[0])
                for kind, vector in vectors.items():
                    hits[kind].append((gallery @ vector).argmax().item() == place)
            for kind, own in hits.items():
                averages[kind].append(100 * sum(own) / len(own))
        for kind, parts in averages.items():
            assert figures[f"{kind}_{side}"] == pytest.approx(sum(parts) / 2)
    over = figures["refined_after"] - figures["replaced_after"]
    assert figures["refined_over_replaced_after"] == pytest.approx(over)


def test_triplets_stand_in_where_a_benchmark_has_no_captions(job, benchmark_folder, triplets):
    cirr = job("cirr", benchmark_folder("cirr"))
    asked = ("anchor-alignment", "modality-gap")
    alone = diagnose_benchmark(cirr, asked)
    assert alone[0].reading.startswith("Left out: cirr has no captions of its pictures")
    assert "left out: captions (cirr has none" in alone[1].reading
    assert "direct replacement (its references have no captions" in alone[1].reading
    alignment, gap = diagnose_benchmark(cirr, asked, triplets=triplets)
    rows = [json.loads(line) for line in triplets.read_text().splitlines()]
    evaluation = load_evaluation(cirr, "val", lambda line: None)
    base, module = evaluation.backbone.tower, evaluation.projection
    tower = patched_tower(evaluation.backbone, TextEncoderPatch.load(cirr.patch))
    tokenizer = evaluation.method.tokenizer(tower)
    cosines, hits = [], []
    anchors = F.normalize(
        base(tokenizer.encode([row["target_caption"].lower() for row in rows])), dim=-1
    )
    for place, row in enumerate(rows):
        pseudo = module(base(tokenizer.encode([row["reference_caption"]])))
        ids = tokenizer.encode([f"a photo of $ that {row['conditioning_caption']}"])
        scores = anchors @ F.normalize(tower(ids, pseudo, tokenizer.placeholder_id)[0], dim=0)
        cosines.append(scores[place].item())
        hits.append(scores.argmax().item() == place)
    mean = sum(cosines) / len(cosines)
    assert alignment.figures["query_to_anchor_after"] == pytest.approx(mean, abs=1e-5)
    assert alignment.units["query_to_anchor_after"] == "cosine"
    assert gap.figures["refined_after"] == pytest.approx(100 * sum(hits) / len(hits))


def test_what_a_benchmark_lacks_is_left_out_and_said(job, benchmark_folder):
    (bare,) = diagnose_benchmark(job("imagenet-r", benchmark_folder("imagenet-r")), ["robustness"])
    assert bare.reading.startswith("Left out: imagenet-r asks with words of its own")
    served = job("circo", benchmark_folder("circo"))
    for one in diagnose_benchmark(served, ["robustness", "strength"], split="test"):
        assert one.reading == (
            "Left out: the right answers of this split are with the server of circo."
        )
        assert not one.figures


def test_several_texts_are_asked_alone_too(job, benchmark_folder):
    fashioniq = job("fashioniq", benchmark_folder("fashioniq"))
    (found,) = diagnose_benchmark(fashioniq, ["robustness"])
    assert {"wording_1_before", "wording_2_after"} <= found.figures.keys()
    evaluation = load_evaluation(fashioniq, "val", lambda line: None)
    parts = tuple(
        replace(
            part,
            queries=tuple(replace(query, texts=query.texts[1:]) for query in part.queries),
        )
        for part in evaluation.benchmark.parts
    )
    second = replace(evaluation, benchmark=replace(evaluation.benchmark, parts=parts))
    from rtd_adapters.evaluation.evaluate import compare

    wanted = compare(second, None).base["average recall@10"]
    assert found.figures["wording_2_before"] == pytest.approx(wanted)


def test_a_patch_that_changes_nothing_ties_everywhere(subject):
    class Unpatched(Subject):
        def at(self, strength):
            return self.base

    same = Unpatched(subject.evaluation, subject.patch)
    found = {name: ask(same) for name, ask in QUESTIONS.items()}
    assert found["robustness"].reading.endswith(
        "it is up under: none; down under: none; a tie under: " + ", ".join(CHANGES) + "."
    )
    assert "recall@1 a tie (+0.0 to +0.0)" in found["anchor-alignment"].reading
    assert found["strength"].reading.endswith("a tie with strength: 0.25, 0.5, 0.75, 1.")


def test_a_change_in_words():
    measures = Measures()
    rows = torch.arange(200.0) % 2
    said = measures.compare("x", [rows], [rows + 2.0])
    assert said == "up 2.0 (+2.0 to +2.0)"
    assert measures.compare("y", [rows], [rows - 2.0], "cosine") == (
        "down 2.000 (-2.000 to -2.000)"
    )
    assert measures.units == {
        "x_change": "points",
        "y_before": "cosine",
        "y_after": "cosine",
        "y_change": "change of cosine",
    }
    wavering = torch.tensor([1.0, -1.0] * 100)
    assert measures.compare("z", [wavering], [-wavering]).startswith("a tie (-0.")


def test_a_page_mixes_no_units(found, tmp_path):
    write_diagnoses(list(found.values()), "t", tmp_path / "d.html", "the shop")
    page = (tmp_path / "d.html").read_text()
    assert "Diagnostics in the shop" in page
    units = [unit for one in found.values() if not one.series for unit in one.by_unit()]
    charts = re.findall(r'aria-label="([^"]*)"', page)
    assert sorted(charts) == sorted([*units, "recall@1, per cent"])


def test_whiskers_reach_from_end_to_end():
    drawn = whisker_chart({"a": 1.0, "b": -1.0}, {"a": (0.0, 3.0), "b": (-2.0, 0.5)}, "points")
    lines = re.findall(r'points="([\d.]+),\d+ ([\d.]+),\d+"', drawn)
    per = (460 - 218 - 52) / 5
    assert [tuple(map(float, line)) for line in lines] == [
        pytest.approx((218 + 2 * per, 218 + 5 * per), abs=0.06),
        pytest.approx((218, 218 + 2.5 * per), abs=0.06),
    ]
    assert f'x1="{218 + 2 * per:.1f}"' in drawn  # where 0 is


def test_a_diagnosis_needs_a_patch_and_known_questions(job, shop):
    with pytest.raises(UsageError, match="needs --patch"):
        diagnose_benchmark(job("custom", shop, patch=None))
    with pytest.raises(UsageError, match="Unknown question 'gap'"):
        diagnose_benchmark(job("custom", shop), ["gap"])


def test_broken_pictures_and_their_captions_are_left_out(job, shop, tmp_path):
    root = tmp_path / "shop"
    shutil.copytree(shop, root)
    (root / "gallery/a/0.png").write_text("no picture")  # it has two captions
    options = replace(QUIET, skip_broken=True)
    names = ("anchor-alignment", "modality-gap")
    alignment, gap = diagnose_benchmark(job("custom", root, options=options), names)
    assert alignment.reading.startswith("The cosine of 29 captions")
    for one in (alignment, gap):
        assert all(value == value for value in one.figures.values())  # none is NaN


def test_changes_are_drawn_anew_by_one_seed(subject):
    typo = CHANGES["typo"]
    drawn = [
        query.texts for part in perturbed(subject.benchmark, typo).parts for query in part.queries
    ]
    draw = random.Random(0)
    queries = [query for part in subject.benchmark.parts for query in part.queries]
    assert drawn == [(typo(query.texts[0], draw),) for query in queries]
    again = perturbed(subject.benchmark, typo)
    assert drawn == [query.texts for part in again.parts for query in part.queries]


def test_queries_that_are_plain_captions_are_captions_of_their_targets(subject):
    asked = (
        EvalQuery("1", "", ("a dog", "one dog"), ("x",)),
        EvalQuery("2", "r", ("red",), ("y",)),
    )
    parts = (Part("", ("x", "y"), asked),)
    benchmark = replace(subject.benchmark, parts=parts, captions={"y": ("a cat",), "r": ("no",)})
    assert captioned_pictures(benchmark) == [("a cat", "y"), ("a dog", "x"), ("one dog", "x")]
    mixed = replace(subject.evaluation, benchmark=benchmark)
    assert "plain captions" in Subject(mixed, subject.patch).lacks_composed()
