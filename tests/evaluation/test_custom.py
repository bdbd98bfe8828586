"""One's own benchmark: read as the page says, scored as plain sorting says, faults by line."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from rtd_adapters.errors import FileError, MissingFilesError
from rtd_adapters.evaluation.benchmark import load_benchmark
from rtd_adapters.evaluation.search import Gallery, rankings

PAGE = Path(__file__).parents[2] / "docs/evaluation.md"
ROW = {"picture": "asked/q.png", "text": "is red", "targets": ["gallery/b.png"]}


@pytest.fixture
def folder(tmp_path):
    """A folder with four pictures to find and one to ask with."""
    for name in ("gallery/b.png", "gallery/a.png", "gallery/deep/er/c.jpg", "gallery/B/d.png"):
        draw(tmp_path / name)
    draw(tmp_path / "asked/q.png")
    return tmp_path


def draw(path: Path, colour: str = "red") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path)


def write(folder: Path, *rows: dict, kind: str = "jsonl") -> None:
    """The rows as a table, in which lists are texts with semicolons where it is a CSV."""
    text = "\n".join(map(json.dumps, rows))
    if kind == "csv":
        stream = io.StringIO()
        table = csv.DictWriter(stream, list(dict.fromkeys(name for row in rows for name in row)))
        table.writeheader()
        for row in rows:
            table.writerow({n: ";".join(v) if isinstance(v, list) else v for n, v in row.items()})
        text = stream.getvalue()
    (folder / f"queries.{kind}").write_text(text, encoding="utf-8")


def load(folder: Path):
    return load_benchmark("custom", folder)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_both_kinds_of_table_say_the_same(folder, kind):
    full = {"targets": ["gallery/b.png", "gallery/deep/er/c.jpg"], "id": "one", "category": "x"}
    subset = {"subset": ["gallery/a.png", "gallery/b.png"]}
    write(
        folder,
        ROW | full | subset,
        ROW | {"text": 'say "a, b"', "category": "x"} | subset,
        kind=kind,
    )
    (part,) = load(folder).parts
    assert part.name == "x"
    assert part.gallery == (
        "gallery/B/d.png",
        "gallery/a.png",
        "gallery/b.png",
        "gallery/deep/er/c.jpg",
    )
    first, second = part.queries
    assert (first.id, second.id) == ("one", {"csv": "3", "jsonl": "2"}[kind])
    assert first.targets == ("gallery/b.png", "gallery/deep/er/c.jpg")
    assert first.group == ("gallery/a.png", "gallery/b.png")
    assert (second.texts, second.targets) == (('say "a, b"',), ("gallery/b.png",))
    assert first.excluded == (first.reference,) == ("asked/q.png",)


def test_a_list_takes_the_place_of_the_folder_and_keeps_its_order(folder):
    (folder / "gallery.txt").write_text("asked/q.png\n\n gallery/b.png \ngallery/a.png\n")
    write(folder, ROW)
    (part,) = load(folder).parts
    assert part.gallery == ("asked/q.png", "gallery/b.png", "gallery/a.png")


def test_what_is_no_picture_is_passed_over(folder):
    (folder / "gallery/notes.txt").write_text("mine")
    (folder / "gallery/.hidden.png").write_bytes(b"")
    (folder / "gallery/.git").mkdir()
    draw(folder / "gallery/.git/e.png")
    write(folder, ROW)
    assert len(load(folder).parts[0].gallery) == 4


def test_figures_against_plain_sorting(folder):
    """All the columns, with the asking picture in the gallery and before everything."""
    names = [f"gallery/{number:02}.png" for number in range(30)]
    for name in names:
        draw(folder / name)
    (folder / "gallery.txt").write_text("\n".join(names))
    draw_from = torch.Generator().manual_seed(3)
    chosen = [torch.randperm(30, generator=draw_from).tolist() for _ in range(12)]
    write(
        folder,
        *(
            {"picture": names[own], "text": "t", "category": f"c{row % 2}"}
            | {"targets": [names[n] for n in targets], "subset": [names[n] for n in (own, *others)]}
            for row, (own, *targets, a, b, c) in enumerate(
                order[: 5 + row % 3] for row, order in enumerate(chosen)
            )
            for others in [(targets[0], a, b, c)]
        ),
    )
    benchmark = load(folder)
    assert [part.name for part in benchmark.parts] == ["c0", "c1"]
    vectors = torch.nn.functional.normalize(torch.randn(30, 6, generator=draw_from), dim=-1)
    for part in benchmark.parts:
        asked = vectors[[names.index(query.reference) for query in part.queries]]
        found = rankings(asked, Gallery(part.gallery, vectors), part.queries, benchmark.depth)
        for query, vector, ranking in zip(part.queries, asked, found, strict=True):
            scores = dict(zip(names, (vectors.double() @ vector.double()).tolist(), strict=True))
            order = sorted(set(names) - {query.reference}, key=lambda n: -scores[n])
            places = sorted(order.index(target) for target in query.targets)
            subset = [name for name in order if name in query.group]
            best = min(subset.index(target) for target in query.targets if target in query.group)
            precisions = [(hit + 1) / (place + 1) for hit, place in enumerate(places) if place < 10]
            assert benchmark.score(query, ranking) == pytest.approx(
                {
                    **{f"recall@{k}": float(places[0] < k) for k in (1, 5, 10, 50)},
                    "map@10": sum(precisions) / min(len(places), 10),
                    **{f"subset_recall@{k}": float(best < k) for k in (1, 2, 3)},
                }
            )


def test_plain_queries_have_plain_figures(folder):
    write(folder, ROW)
    benchmark = load(folder)
    ((query,),) = (part.queries for part in benchmark.parts)
    (ranking,) = rankings(
        torch.eye(4)[:1], Gallery(benchmark.parts[0].gallery, torch.eye(4)), [query]
    )
    assert benchmark.score(query, ranking) == {
        "recall@1": 0.0,
        "recall@5": 1.0,
        "recall@10": 1.0,
        "recall@50": 1.0,
    }


REFUSED = [
    ([ROW | {"text": " "}], "line 1: 'text' is missing or empty. Mend this line"),
    ([{"text": "t", "targets": ["gallery/a.png"]}], "line 1: 'picture' is missing or empty"),
    ([ROW | {"targets": []}], "line 1: 'targets' is missing or empty"),
    (
        [ROW, ROW | {"targets": "x.png"}],
        "line 2: 'targets' has 'x.png', which is not in the gallery",
    ),
    ([ROW | {"targets": ["gallery/a.png"] * 2}], "line 1: 'targets' has a picture twice"),
    ([ROW | {"subset": ["x.png"]}], "line 1: 'subset' has 'x.png', which is not in the gallery"),
    ([ROW | {"subset": ["gallery/a.png"]}], "line 1: 'subset' holds none of its 'targets'"),
    ([ROW | {"picture": "gallery/b.png"}], "line 1: its own picture is among its 'targets'"),
    ([ROW | {"caption": "t"}], "line 1: 'caption' is no column; there are picture, text, targets"),
    ([ROW | {"id": "1"}, ROW | {"id": 1}], "line 2: the id '1' is there twice, first in .*line 1"),
    ([ROW, ROW | {"category": "x"}], "line 2: it has a 'category' and the first query has none"),
    (
        [ROW | {"subset": ["gallery/b.png"]}, ROW],
        "line 2: the first query has a 'subset' and it has none",
    ),
    ([ROW | {"picture": "../q.png"}], r"line 1 names '\.\./q\.png', which is no path within"),
    ([ROW | {"targets": ["/etc/hosts"]}], "line 1 names '/etc/hosts', which is no path within"),
    ([ROW | {"picture": "asked/z.png"}], "line 1: the picture 'asked/z.png' is missing. Paths are"),
    ([], "holds no rows"),
]


@pytest.mark.parametrize(("rows", "message"), REFUSED)
def test_every_fault_is_named_with_its_line(folder, rows, message):
    write(folder, *rows)
    with pytest.raises(FileError, match=message) as refused:
        load(folder)
    assert "queries.jsonl" in str(refused.value)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("queries.jsonl", "{}\n{", r"queries\.jsonl, line 2 is not valid JSON"),
        ("queries.jsonl", "[1]", r"queries\.jsonl, line 1: it is a list, where an object belongs"),
        ("queries.csv", "picture,text,targets\na,b,c,d\n", r"csv, line 2: it has more cells"),
        ("queries.csv", 'picture,text\na,"b\n', r"csv, line 2: unexpected end of data"),
        ("queries.csv", "picture,txt\na,\n", r"csv, line 2: 'txt' is no column"),
        ("queries.csv", "picture,text,targets\nasked/q.png,,x\n", "line 2: 'text' is missing or"),
        (
            "gallery.txt",
            "gallery/a.png\ngallery/a.png\n",
            r"txt, line 2: 'gallery/a\.png' is there",
        ),
        ("gallery.txt", "../a.png\n", r"gallery\.txt, line 1 names '\.\./a\.png'"),
        ("gallery.txt", "gallery/b.png\ngallery/z.png\n", r"txt, line 2: the picture 'gallery/z"),
    ],
)
def test_what_is_no_table_or_no_list(folder, file, content, message):
    if file == "gallery.txt":
        write(folder, ROW)
    (folder / file).write_text(content)
    with pytest.raises(FileError, match=message):
        load(folder)


def test_text_that_is_not_utf_8(folder):
    (folder / "queries.csv").write_bytes("picture\nä".encode("latin-1"))
    with pytest.raises(FileError, match="Save it as UTF-8"):
        load(folder)


def test_both_tables_and_no_pictures(folder, tmp_path_factory):
    write(folder, ROW)
    write(folder, ROW, kind="csv")
    with pytest.raises(FileError, match=r"both queries\.csv and queries\.jsonl"):
        load(folder)
    bare = tmp_path_factory.mktemp("bare")
    write(bare, ROW)
    (bare / "gallery").mkdir()
    with pytest.raises(FileError, match="holds no pictures"):
        load(bare)


def test_all_that_is_missing_is_known(folder):
    write(folder, ROW | {"picture": "asked/y.png"}, ROW | {"picture": "asked/z.png"})
    with pytest.raises(MissingFilesError, match="and 1 more are missing") as refused:
        load(folder)
    assert refused.value.missing == ("asked/y.png", "asked/z.png")


def test_links_lead_nowhere_else(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    draw(outside / "e.png")
    link = folder / "gallery/e.png"
    write(folder, ROW)
    try:
        link.symlink_to(outside / "e.png")
    except OSError:
        pytest.skip("this system makes no links")
    with pytest.raises(FileError, match=r"'gallery/e\.png' is a link that leads out"):
        load(folder)
    link.unlink()
    link.symlink_to(folder / "gallery/b.png")
    assert len(load(folder).parts[0].gallery) == 5
    link.unlink()
    link.symlink_to(outside, target_is_directory=True)
    with pytest.raises(FileError, match=r"e\.png is a link to a folder"):
        load(folder)
    (folder / "gallery.txt").write_text("gallery/b.png\ngallery/e.png/e.png\n")
    with pytest.raises(FileError, match=r"line 2: 'gallery/e\.png/e\.png' is a link"):
        load(folder)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_captions_of_its_pictures(folder, kind):
    write(folder, ROW)
    assert load(folder).captions == {}
    rows = [("gallery/b.png", "a red b"), ("asked/q.png", "what is asked"), ("gallery/b.png", "b")]
    lines = [f'{{"picture": "{picture}", "caption": "{text}"}}' for picture, text in rows]
    if kind == "csv":
        lines = ["picture,caption", *(",".join(row) for row in rows)]
    (folder / f"captions.{kind}").write_text("\n".join(lines))
    assert load(folder).captions == {
        "gallery/b.png": ("a red b", "b"),
        "asked/q.png": ("what is asked",),
    }


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("gallery/b.png,", "line 2: 'caption' is missing or empty"),
        (",a b", "line 2: 'picture' is missing or empty"),
        ("gallery/z.png,a z", r"line 2: 'picture' is 'gallery/z\.png', which no query asks with"),
        ("../b.png,a b", r"line 2 names '\.\./b\.png'"),
    ],
)
def test_captions_of_no_picture(folder, row, message):
    write(folder, ROW)
    (folder / "captions.csv").write_text(f"picture,caption\n{row}\n")
    with pytest.raises(FileError, match=message):
        load(folder)
    (folder / "captions.jsonl").write_text("")
    with pytest.raises(FileError, match=r"both captions\.csv and captions\.jsonl"):
        load(folder)


def test_the_pages_example(folder):
    """docs/evaluation.md, to the letter."""
    section = PAGE.read_text(encoding="utf-8").split("## Your own benchmark")[1]
    tables = re.findall(r"^`(queries\.(?:csv|jsonl))`.*:\n\n((?:    .*\n)+)", section, re.MULTILINE)
    assert [name for name, _ in tables] == ["queries.csv", "queries.jsonl"]
    read = []
    for name in ("shoes/1.jpg", "shoes/2.jpg", "hats/7.jpg"):
        draw(folder / "gallery" / name)
    for name in ("shoe.jpg", "hat.jpg"):
        draw(folder / "asked" / name)
    for name, text in tables:
        (folder / name).write_text(re.sub("^    ", "", text, flags=re.MULTILINE), encoding="utf-8")
        read.append(load(folder).parts)
        (folder / name).unlink()
    csv_parts, json_parts = read
    assert [part.name for part in csv_parts] == ["hats", "shoes"]
    assert csv_parts == json_parts
