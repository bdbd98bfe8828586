"""From outcomes to figures and records, by hand."""

from __future__ import annotations

import json
import random
from types import SimpleNamespace

import pytest
import torch

from rtd_adapters.errors import EvaluationError, FileError, UsageError
from rtd_adapters.evaluation.benchmark import Benchmark, EvalQuery, Part
from rtd_adapters.evaluation.bootstrap import interval, p_value
from rtd_adapters.evaluation.figures import Searched, make_result
from rtd_adapters.evaluation.perturbations import CHANGES, _typo
from rtd_adapters.evaluation.pictures import _pixels, embed_pictures, padded
from rtd_adapters.evaluation.result import Outcome, Result
from rtd_adapters.evaluation.search import (
    Gallery,
    rankings,
    search_gallery,
)
from rtd_adapters.evaluation.submissions import require_valid, write_submissions


def evaluation(*parts):
    benchmark = Benchmark("bench", "val", parts, None, None, {"joined by": "and"})
    return SimpleNamespace(
        benchmark=benchmark,
        method=SimpleNamespace(name="m", composed_prompt="a photo of $ that {text}"),
        backbone=SimpleNamespace(
            label="toy/random", tower=SimpleNamespace(device=torch.device("cpu"))
        ),
        options=SimpleNamespace(preprocess="clip", strength=0.5, precision="bf16"),
    )


def query(name, **further):
    return EvalQuery(name, "ref", (f"text {name}", "second"), ("t",), **further)


def outcome(value, rank=1, top=()):
    return Outcome({"recall@1": value}, rank, list(top), [])


def part(name, count):
    return Part(name, ("a", "b", "t"), tuple(query(f"{name}{n}") for n in range(count)))


PATCH = SimpleNamespace(
    metadata=SimpleNamespace(kind="lora", method="searle", fingerprint={"fp32": "f" * 64})
)


def test_parts_are_averaged_and_count_alike():
    parts = part("dress", 4), part("shirt", 1)
    base = [[outcome(v) for v in (1.0, 0.0, 0.0, 0.0)], [outcome(1.0)]]
    patched = [[outcome(v) for v in (1.0, 1.0, 0.0, 0.0)], [outcome(1.0)]]
    result = make_result(evaluation(*parts), base, patched, PATCH)
    assert result.base == pytest.approx(
        {"dress recall@1": 25.0, "shirt recall@1": 100.0, "average recall@1": 62.5}
    )
    assert result.patched["average recall@1"] == pytest.approx(75.0)
    low, high = result.intervals["dress recall@1"]
    assert low == 0.0
    assert high == pytest.approx(75.0)  # three of four draws hit the one query that changed
    assert result.intervals["shirt recall@1"] == (0.0, 0.0)
    assert result.settings["gallery"] == {"dress": 3, "shirt": 3}
    assert result.settings["queries"] == {"dress": 4, "shirt": 1}


def test_one_part_has_plain_names_and_records_keep_ten_places():
    ids = [str(n) for n in range(12)]
    base, patched = [[outcome(0.0, 7, ids)]], [[outcome(1.0, 1, ids[::-1])]]
    result = make_result(evaluation(part("", 1)), base, patched, PATCH)
    assert (result.base, result.patched) == ({"recall@1": 0.0}, {"recall@1": 100.0})
    (record,) = result.queries
    assert (record.base_rank, record.patched_rank) == (7, 1)
    assert (record.base_top, record.patched_top) == (ids[:10], ids[:1:-1])
    assert (record.id, record.text, record.reference, record.targets) == (
        "0",
        "text 0",
        "ref",
        ["t"],
    )
    assert (result.settings["gallery"], result.settings["queries"]) == ({"all": 3}, {"all": 1})
    assert result.settings["patch"] == "lora for searle"
    assert result.settings["patch_sha256"] == "f" * 64
    assert result.settings["strength"] == 0.5
    assert (result.settings["precision"], result.settings["device"]) == ("bf16", "cpu")
    assert result.settings["joined by"] == "and"
    (row,) = result.records()
    assert (row["metric"], row["base"], row["patched"], row["change"]) == (
        "recall@1",
        0.0,
        100.0,
        100.0,
    )
    assert (row["low"], row["high"]) == (100.0, 100.0)


def test_a_record_of_many_right_answers_is_small_and_its_places_can_be_counted_again(tmp_path):
    """Each of five queries has a thousand, of which its rankings find some."""
    draw = random.Random(0)
    pictures = [f"images/grass/bear/{n:06}.jpg" for n in range(3000)]
    asked = [EvalQuery(str(n), "r", ("x",), tuple(draw.sample(pictures, 1000))) for n in range(5)]
    tops = [[draw.sample(pictures, 50) for _ in asked] for _ in range(2)]
    searches = [[[outcome(0.5, 2, top) for top in side]] for side in tops]
    result = make_result(evaluation(Part("", tuple(pictures), tuple(asked))), *searches, PATCH)
    result.save(tmp_path / "result.json")
    assert (tmp_path / "result.json").stat().st_size < 5 * 3000
    assert Result.load(tmp_path / "result.json") == result
    for number, (query, record) in enumerate(zip(asked, result.queries, strict=True)):
        assert record.answers == 1000
        assert tuple(record.targets[:10]) == query.targets[:10]
        assert set(record.targets) <= set(query.targets)
        assert len(record.targets) == len(set(record.targets)) <= 30
        for side, found in enumerate((record.base_top, record.patched_top)):
            right = [image in query.targets for image in tops[side][number][:10]]
            assert [image in record.targets for image in found] == right
            assert True in right


def test_without_a_patch_nothing_is_said_of_one():
    result = make_result(evaluation(part("", 1)), [[outcome(0.5, 3)]], None, None)
    assert result.patched is None
    assert result.intervals == {}
    assert result.queries[0].patched_rank == 3
    assert [result.settings[name] for name in ("patch", "patch_sha256", "strength")] == [None] * 3
    (row,) = result.records()
    assert (row["base"], row["patched"], row["change"]) == (50.0, None, None)
    assert (row["low"], row["high"]) == (None, None)


def test_a_change_is_patched_minus_base_and_lies_in_its_interval():
    result = Result("m", "b", "val", {"x": 30.0}, {"x": 20.0}, {"x": (-12.0, -8.0)})
    (row,) = result.records()
    assert (row["change"], row["low"], row["high"]) == (-10.0, -12.0, -8.0)


def test_every_query_has_an_outcome():
    unasked = query("a", category="hidden"), query("b")
    with pytest.raises(ValueError, match="zip"):
        make_result(evaluation(Part("", ("t",), unasked)), [[outcome(0.0)]], None, None)
    hidden = Part("", ("a",), (EvalQuery("q", "ref", ("text",), ()),))
    assert make_result(evaluation(hidden), [[outcome(0.0)]], None, None).base == {}
    with pytest.raises(ValueError, match="zip"):
        make_result(evaluation(hidden), [[outcome(0.0)], [outcome(0.0)]], None, None)


def test_the_same_interval_is_drawn_every_time():
    differences = [torch.linspace(-1, 2, 30)]
    assert interval(differences) == interval(differences, 0)
    assert interval(differences) != interval(differences, 1)


# Pictures


@pytest.mark.parametrize(
    ("size", "framed", "corner"),
    [
        ((125, 100), (125, 100), (0, 0)),
        ((126, 100), (126, 100), (0, 0)),  # 0.8 too few: half of it is no whole pixel
        ((130, 100), (130, 104), (0, 2)),
        ((100, 200), (160, 200), (30, 0)),
        ((40, 1), (40, 31), (0, 15)),
    ],
)
def test_a_frame_is_black_and_its_picture_in_the_middle(size, framed, corner):
    from PIL import Image

    found = padded(Image.new("RGB", size, "white"))
    assert found.size == framed
    expected = Image.new("RGB", framed)
    expected.paste(Image.new("RGB", size, "white"), corner)
    assert found.tobytes() == expected.tobytes()


def test_an_image_processor_gives_a_batch_of_one():
    white = torch.ones(3, 2, 2)
    assert torch.equal(_pixels(lambda picture: {"pixel_values": [white]}, None), white)
    assert torch.equal(_pixels(lambda picture: white, None), white)


def test_sixty_four_pictures_at_a_time_by_default(monkeypatch):
    sizes = []

    def counted(backbone, pictures, preprocess):
        sizes.append(len(pictures))
        return torch.tensor([[float(picture)] for picture in pictures])

    monkeypatch.setattr("rtd_adapters.evaluation.pictures.picture_embeddings", counted)
    assert embed_pictures(None, list(range(130)))[:, 0].tolist() == list(range(130))
    assert sizes == [64, 64, 2]


def test_no_pictures_are_no_rows():
    empty = embed_pictures(SimpleNamespace(shape=SimpleNamespace(embed_dim=7)), [])
    assert empty.shape == (0, 7)


# Search


def test_ten_places_by_default_and_never_more_than_there_are():
    torch.manual_seed(0)
    gallery, queries = torch.randn(12, 4), torch.randn(2, 4)
    ids = [str(n) for n in range(12)]
    named, scores = search_gallery(queries, gallery, ids)
    assert [len(row) for row in named] == [10, 10]
    assert scores.shape == (2, 10)
    named, scores = search_gallery(queries, gallery[:3], ids[:3], 5)
    assert scores.shape == (2, 3)
    assert search_gallery(queries[:0], gallery, ids, 4)[1].shape == (0, 4)
    assert search_gallery(queries, gallery, ids, 0)[0] == [[], []]


def test_every_query_has_a_ranking():
    with pytest.raises(ValueError, match="zip"):
        list(rankings(torch.eye(2), Gallery(["t"], torch.ones(1, 2)), [query("a")]))


# Submissions


def test_what_a_server_refuses_is_counted():
    queries = [query(str(n)) for n in range(5)]
    with pytest.raises(EvaluationError, match=r"has 1 queries and the split 5; missing: 0, 1, 2\."):
        require_valid({"version": "rc2", "metric": "recall", "4": ["a"]}, queries, 1)
    with pytest.raises(EvaluationError, match=r"has 6 queries and the split 5\. Evaluate"):
        require_valid({str(n): ["a"] for n in range(6)}, queries, 1)
    with pytest.raises(EvaluationError, match=r"query 0 ranks 2 different pictures, .* wants 1"):
        require_valid({str(n): ["a", "b"] for n in range(5)}, queries, 1)
    require_valid({str(n): ["a", "b"] for n in range(5)}, queries, 2)


def test_only_two_benchmarks_have_servers(tmp_path):
    top = [str(n) for n in range(60)]
    ranked = [Outcome({}, None, top, top[:5])]
    with pytest.raises(UsageError, match="fashioniq has no test server"):
        write_submissions("fashioniq", [query("0")], ranked, tmp_path)
    with pytest.raises(ValueError, match="zip"):
        write_submissions("circo", [query("0"), query("1")], ranked, tmp_path)
    (file,) = write_submissions("circo", [query("0")], ranked, tmp_path)
    assert file == tmp_path / "circo.json"
    files = write_submissions("cirr", [query("0")], ranked, tmp_path)
    assert [file.name for file in files] == ["recall.json", "recall_subset.json"]


# Texts as people write them


class Draw:
    """Draws the places that it is told."""

    def __init__(self, place, at):
        self.place, self.at = place, at

    def choice(self, places):
        return places[self.place]

    def randrange(self, low, high):
        assert (low, high) == (1, 4 - 1)
        return self.at


def test_a_typo_swaps_two_neighbours_inside_a_long_word():
    assert _typo("it was blue then", Draw(0, 1)) == "it was lbue then"
    assert _typo("it was blue then", Draw(1, 2)) == "it was blue tehn"
    assert _typo("it was old", None) == "it was old"


def test_changed_texts_to_the_letter():
    assert {name: change("is red", None) for name, change in CHANGES.items() if name != "typo"} == {
        "unchanged": "is red",
        "negated": "is not one that is red",
        "contradictory": "is red and is just the same as before",
        "irrelevant": "was seen on a quiet afternoon",
        "empty": "",
        "ignore_the_picture": "ignore the picture , is red",
    }


# How sure


def flipped(parts):
    """The p-value over all patterns of signs, by a plain loop; parts count alike."""
    import itertools

    terms = [value / (len(part) * len(parts)) for part in parts for value in part]
    found = abs(sum(terms))
    patterns = list(itertools.product((1, -1), repeat=len(terms)))
    as_far = sum(
        abs(sum(sign * term for sign, term in zip(signs, terms, strict=True))) >= found - 1e-12
        for signs in patterns
    )
    return as_far / len(patterns)


@pytest.mark.parametrize(
    "parts",
    [
        [[0.5, -0.2, 0.9, 0.4, 0.3, -0.1, 0.7, 0.2]],
        [[1.0, 1.0, 0.0, 0.0, 1.0, -1.0, 1.0]],
        [[0.4, 0.3, 0.6], [0.1, -0.2, 0.2, -0.1, 0.3, 0.1, -0.2, 0.1]],
        [[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]],
    ],
)
def test_a_p_value_is_the_share_of_signs_that_go_as_far(parts):
    found = p_value([torch.tensor(part) for part in parts])
    assert found == pytest.approx(flipped(parts), abs=0.015)
    assert found == p_value([-torch.tensor(part) for part in parts], 0)


def test_no_change_is_no_evidence_and_no_p_value_is_zero():
    assert p_value([torch.zeros(9)]) == 1.0
    assert p_value([torch.ones(200)]) == 1 / 10_001
    noise = torch.linspace(-1, 1, 50) + 0.1
    assert p_value([noise]) != p_value([noise], 1)


def test_p_values_of_a_difference_and_values_of_every_query():
    parts = part("dress", 6), part("shirt", 2)
    base = [[outcome(0.0)] * 6, [outcome(1.0), outcome(0.0)]]
    patched = [[outcome(1.0)] * 6, [outcome(0.0), outcome(0.0)]]
    result = make_result(
        evaluation(*parts), base, patched, PATCH, {"other": Searched("as before", base)}
    )
    assert result.values["base"] == {"recall@1": [0.0] * 6 + [1.0, 0.0]}
    assert result.values["patched"] == {"recall@1": [1.0] * 6 + [0.0, 0.0]}
    assert result.p_values["dress recall@1"] == pytest.approx(2 / 2**6, abs=0.01)
    assert result.p_values["shirt recall@1"] == 1.0
    found = flipped([[1.0] * 6, [-1.0, 0.0]])
    assert result.p_values["average recall@1"] == pytest.approx(found, abs=0.015)
    other = result.columns["other"]
    assert (other.about, other.figures) == ("as before", result.base)
    assert set(other.p_values.values()) == {1.0}
    assert set(other.intervals.values()) == {(0.0, 0.0)}
    records = result.records()
    assert records[0]["p_value"] == result.p_values["dress recall@1"]
    assert [row["other"] for row in records] == list(result.base.values())


def test_a_file_of_an_earlier_version_is_read_and_a_damaged_one_is_not(tmp_path):
    found = make_result(
        evaluation(part("", 2)),
        [[outcome(0.0), outcome(1.0)]],
        [[outcome(1.0)] * 2],
        PATCH,
        {"text": Searched("the text", [[outcome(1.0), outcome(0.0)]])},
    )
    whole = found.to_dict()
    assert Result.from_dict(json.loads(json.dumps(whole))) == found
    earlier = {k: v for k, v in whole.items() if k not in ("p_values", "columns", "values")}
    old = Result.from_dict(earlier)
    assert (old.base, old.patched, old.intervals) == (found.base, found.patched, found.intervals)
    assert (old.p_values, old.columns, old.values) == ({}, {}, {})
    assert old.records()[0]["p_value"] is None
    whole["values"]["text"]["recall@1"].pop()
    with pytest.raises(FileError, match="'values', 'text': a metric has not the 2 values"):
        Result.from_dict(whole)
    whole["columns"]["text"]["figures"] = {"recall@5": 1.0}
    with pytest.raises(FileError, match="'columns', 'text': it is not of the same metrics"):
        Result.from_dict(whole)


def test_a_result_says_which_annotations_it_is_of():
    def stated(*parts):
        outcomes = [[outcome(0.0)] * len(own.queries) for own in parts]
        return make_result(evaluation(*parts), outcomes, None, None).settings["annotations_sha256"]

    own = part("", 2)
    assert stated(own) == stated(part("", 2))
    others = [
        Part("", ("a", "b", "c"), own.queries),
        Part("", own.gallery, own.queries[::-1]),
        Part("", own.gallery, (own.queries[0], EvalQuery("1", "ref", ("another",), ("t",)))),
    ]
    assert len({stated(other) for other in (own, *others)}) == 4
