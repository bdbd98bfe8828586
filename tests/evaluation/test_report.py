"""The report: which queries it shows, their pictures, their cards, and the page around them."""

from __future__ import annotations

import base64
import hashlib
import io
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from PIL import Image

from rtd_adapters.evaluation.report.cards import queries_section
from rtd_adapters.evaluation.report.page import write_report
from rtd_adapters.evaluation.report.strips import (
    Strip,
    choose,
    keep_pictures,
    picture_uri,
    pictures_of,
)
from rtd_adapters.evaluation.result import QueryRecord, Result

BEFORE, AFTER = list("abcdefg"), list("tuvwxyz")


def record(name, base=9, patched=2, *, category="", targets=("x", "b"), reference="b"):
    asked = name, "", reference, f"text {name}", list(targets), category
    return QueryRecord(*asked, base, patched, BEFORE, AFTER, len(targets))


def result(*records, patched=True, **settings):
    after = {"r": 2.0} if patched else None
    intervals = {"r": (0.5, 1.5)} if patched else {}
    return Result("m", "bench", "val", {"r": 1.0}, after, intervals, list(records), settings)


# Which queries


def chosen(strips):
    return {
        group: [strip.query.id for strip in strips if strip.group == group]
        for group in ("gain", "loss", "random")
    }


def test_twelve_of_the_largest_gains_and_losses_and_twelve_others():
    """Fourteen queries became 2 to 15 times better, fourteen worse, nine neither."""
    better = [record(f"{n} times better", 10 * n, 10) for n in range(2, 16)]
    worse = [record(f"{n} times worse", 10, 10 * n) for n in range(2, 16)]
    same = [record(f"same {n}", n, n) for n in range(1, 6)]
    unknown = [record(f"unknown {n}", None, None) for n in range(3)] + [record("new", None, 5)]
    strips = choose(result(*better, *same, *worse, *unknown))
    found = chosen(strips)
    assert found["gain"] == [f"{n} times better" for n in range(15, 3, -1)]
    assert found["loss"] == [f"{n} times worse" for n in range(15, 3, -1)]
    shown = {*found["gain"], *found["loss"]}
    others = {query.id for query in (*better, *same, *worse, *unknown)} - shown
    assert len(others) == 13
    assert len(found["random"]) == len(set(found["random"])) == 12
    assert others > set(found["random"])
    assert [strip.group for strip in strips] == ["gain"] * 12 + ["loss"] * 12 + ["random"] * 12


def test_what_became_neither_better_nor_worse_is_no_gain_and_no_loss():
    records = record("40 to 2", 40, 2), record("same", 7, 7), record("1 to 2", 1, 2)
    found = chosen(choose(result(record("400 to 300", 400, 300), *records)))
    assert found == {"gain": ["40 to 2", "400 to 300"], "loss": ["1 to 2"], "random": ["same"]}


def test_the_same_others_are_drawn_every_time():
    whole = result(*[record(str(n), 3, 3) for n in range(100)])
    assert choose(whole) == choose(whole, 0)
    assert choose(whole) != choose(whole, 1)


# Pictures


def test_five_places_of_each_ranking_the_reference_and_the_first_target_are_kept():
    strip = Strip("gain", record("q", targets=("one", "two"), reference="own"))
    assert pictures_of([strip]) == ["own", *"abcde", *"tuvwx", "one"]
    again = Strip("loss", record("p", targets=("new",), reference="own"))
    assert pictures_of([strip, again]) == [*pictures_of([strip]), "new"]
    caption = Strip("loss", record("c", targets=("one",), reference=""))
    assert pictures_of([caption]) == [*"abcde", *"tuvwx", "one"]


def test_pictures_are_kept_small_and_found_again(tmp_path):
    sizes = {"wide": (400, 200), "small": (20, 10)}
    benchmark = SimpleNamespace(open_image=lambda image: Image.new("RGB", sizes[image], "red"))
    keep_pictures(benchmark, ["wide", "small"], tmp_path)
    for name, size in (("wide", (128, 64)), ("small", (20, 10))):
        begin, content = picture_uri(tmp_path, name).split(",")
        assert begin == "data:image/jpeg;base64"
        kept = base64.b64decode(content)
        with Image.open(io.BytesIO(kept)) as image:
            assert (image.format, image.size) == ("JPEG", size)
        file = f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.jpg"
        assert (tmp_path / "pictures" / file).read_bytes() == kept
    assert picture_uri(tmp_path, "other") is None


# Cards


class Elements(HTMLParser):
    """Every element with its attributes and the text in it, in order."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append({"tag": tag, "text": "", **dict(attrs)})

    def handle_data(self, data):
        self.found[-1]["text"] += data

    def of(self, tag, *names):
        return [tuple(e.get(name) for name in names) for e in self.found if e["tag"] == tag]


def pictures(html):
    """Class and title of every picture's place."""
    found = Elements(html).found
    return [(e["class"], e["title"]) for e in found if "title" in e]


def test_a_card_shows_five_places_before_and_after(tmp_path):
    html = queries_section([Strip("gain", record("q"))], tmp_path, patched=True)
    plain, right = "none", "none target"
    assert pictures(html) == [
        (plain, "reference picture: b"),
        (plain, "before, place 1: a"),
        (right, "before, place 2: b, the right answer"),
        (plain, "before, place 3: c"),
        (plain, "before, place 4: d"),
        (plain, "before, place 5: e"),
        (plain, "after, place 1: t"),
        (plain, "after, place 2: u"),
        (plain, "after, place 3: v"),
        (plain, "after, place 4: w"),
        (right, "after, place 5: x, the right answer"),
    ]
    assert Elements(html).of("span", "text")[0] == ("rank 9 to 2",)
    unknown = queries_section([Strip("random", record("q", None, None))], tmp_path, patched=True)
    assert Elements(unknown).of("span", "text")[0] == ("rank ? to ?",)


def test_a_plain_caption_has_no_reference(tmp_path):
    section = queries_section([Strip("gain", record("q", reference=""))], tmp_path, patched=True)
    assert "reference" not in section
    assert "reference" in queries_section([Strip("gain", record("q"))], tmp_path, patched=True)


def test_without_a_patch_there_is_no_after(tmp_path):
    html = queries_section([Strip("random", record("q"))], tmp_path, patched=False)
    assert len(pictures(html)) == 6
    assert Elements(html).of("span", "text")[0] == ("rank 9",)
    unknown = queries_section([Strip("random", record("q", None))], tmp_path, patched=False)
    assert Elements(unknown).of("span", "text")[0] == ("rank ?",)


def test_kept_pictures_stand_in_the_card(tmp_path):
    benchmark = SimpleNamespace(open_image=lambda image: Image.new("RGB", (8, 8)))
    keep_pictures(benchmark, ["b"], tmp_path)
    html = queries_section([Strip("gain", record("q"))], tmp_path, patched=True)
    images = Elements(html).of("img", "class", "src", "alt")
    uri = picture_uri(tmp_path, "b")
    assert images == [
        ("", uri, "reference picture: b"),
        ("target", uri, "before, place 2: b, the right answer"),
    ]


def test_the_bar_has_a_button_for_each_group_there_is(tmp_path):
    strips = [
        Strip("gain", record("p", category="style")),
        Strip("random", record("q")),
        Strip("random", record("r", category="colour")),
    ]
    elements = Elements(queries_section(strips, tmp_path, patched=True))
    assert elements.of("button", "data-group", "aria-pressed", "text") == [
        ("", "true", "All"),
        ("gain", "false", "Best gains"),
        ("random", "false", "Random others"),
    ]
    assert elements.of("option", "value", "text") == [
        ("", "all"),
        ("colour", "colour"),
        ("style", "style"),
    ]
    assert elements.of("article", "data-group", "data-category") == [
        ("gain", "style"),
        ("random", ""),
        ("random", "colour"),
    ]
    assert Elements(queries_section(strips[1:2], tmp_path, patched=True)).of("select") == []
    assert queries_section([], tmp_path, patched=True) == ""


# The page


def written(result, folder, training=None):
    result.save(folder / "result.json")
    shown = write_report(folder, folder / "report.html", training)
    return shown, (folder / "report.html").read_text()


def test_the_page_says_what_it_is_of(tmp_path):
    records = [record(str(n)) for n in range(1200)]
    shown, page = written(result(*records, patch="lora for m"), tmp_path)
    assert shown == page.count("<article") == 24
    assert "<title>m on bench, before and after</title>" in page
    assert "<p>val split, 1,200 queries. Patch: lora for m.</p>" in page
    assert "after, place 1" in page
    shown, page = written(result(*records[:3], patched=False, patch=None), tmp_path)
    assert shown == page.count("<article") == 3
    assert "<title>m on bench, base encoder</title>" in page
    assert "<p>val split, 3 queries. Patch: none.</p>" in page
    assert "after, place 1" not in page
    assert "@@" not in page


@pytest.mark.parametrize("named", [True, False])
def test_training_curves_are_the_named_files_or_the_folders_own(named, tmp_path):
    of_run = tmp_path / "of the run"
    of_run.mkdir()
    assert "Training loss" not in written(result(record("q")), of_run)[1]
    (of_run / "metrics.jsonl").write_text('{"step": 5, "loss": 2.5}\n')
    (tmp_path / "others").write_text('{"step": 5, "loss": 9.25}\n')
    page = written(result(record("q")), of_run, tmp_path / "others" if named else None)[1]
    assert (">9.25<" in page, ">2.5<" in page) == (named, not named)


def test_a_plain_caption_has_no_reference_picture(tmp_path):
    strip = Strip("gain", record("q", reference=""))
    assert "" not in pictures_of([strip])
    html = queries_section([strip], tmp_path, patched=True)
    assert [title for _, title in pictures(html)][:1] == ["before, place 1: a"]
    assert "reference" not in html
