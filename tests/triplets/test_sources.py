"""Triplets from every kind of source; the same three are expected of each."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import random
import sys

import pytest

from rtd_adapters.errors import FileError, TripletError, UsageError
from rtd_adapters.triplets import Triplet, read_captions, read_triplets, write_triplets
from rtd_adapters.triplets.columns import OFFICIAL, parse_columns
from rtd_adapters.triplets.formats import LONGEST_LINE, read_rows
from rtd_adapters.triplets.json_list import CHUNK, JsonList
from rtd_adapters.triplets.spill import hold

TRIPLETS = [
    Triplet("a red star", "is blue", "a blue star"),
    Triplet('a "sign", old', "is\tnew", "a new sign"),
    Triplet("un café à Paris", "是蓝色的", "line\u2028separator"),
]


def as_dicts(names=OFFICIAL):
    texts = [(t.reference, t.conditioning, t.target) for t in TRIPLETS]
    return [dict(zip(names, row, strict=True)) for row in texts]


def as_jsonl(names=OFFICIAL):
    return "".join(json.dumps(row) + "\n" for row in as_dicts(names)).encode()


def as_table(delimiter):
    out = io.StringIO()
    writer = csv.DictWriter(out, OFFICIAL, delimiter=delimiter)
    writer.writeheader()
    writer.writerows(as_dicts())
    return out.getvalue().encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.json", json.dumps(as_dicts()).encode()),
        ("t.jsonl", as_jsonl()),
        ("t.csv", as_table(",")),
        ("t.tsv", as_table("\t")),
        ("t.jsonl.gz", gzip.compress(as_jsonl())),
        ("t.json.xz", lzma.compress(json.dumps(as_dicts(), indent=1).encode())),
        ("t.csv.bz2", bz2.compress(as_table(","))),
        ("named_without_its_kind", as_jsonl()),
    ],
)
def test_every_format_gives_the_same_triplets(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    assert list(read_triplets(path)) == TRIPLETS


@pytest.mark.parametrize(
    "names",
    [
        ("reference", "conditioning", "target"),
        ("input", "edit", "output"),
        ("original_prompt", "edit_prompt", "edited_prompt"),
        ("reference_caption", "caption", "target_caption"),
    ],
)
def test_known_names_are_recognised(tmp_path, names):
    path = tmp_path / "t.jsonl"
    path.write_bytes(as_jsonl(names))
    assert list(read_triplets(path)) == TRIPLETS


def test_other_names_are_mapped(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_bytes(as_jsonl(("src", "edit", "dst")))
    columns = parse_columns("reference=src, conditioning=edit,target=dst")
    assert list(read_triplets(path, columns)) == TRIPLETS
    with pytest.raises(TripletError, match="line 1: no nothing; it has src, edit, dst"):
        read_triplets(path, parse_columns("reference=src,conditioning=nothing,target=dst"))
    with pytest.raises(UsageError, match="'source=a' is not FIELD=NAME"):
        parse_columns("source=a")


def test_fashioniq_annotations_join_their_two_texts(tmp_path):
    row = {
        "candidate_caption": "a dress",
        "captions": ["is red", "is long "],
        "target_caption": "b",
    }
    path = tmp_path / "t.json"
    path.write_text(json.dumps([row]))
    assert read_triplets(path)[0] == Triplet("a dress", "is red and is long", "b")


def test_standard_input(monkeypatch):
    stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(gzip.compress(as_jsonl()))))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert list(read_triplets("-")) == TRIPLETS


def test_arrow_and_parquet_and_a_saved_dataset(tmp_path):
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_list(as_dicts())
    made.to_parquet(tmp_path / "t.parquet")
    made.save_to_disk(tmp_path / "saved")
    assert list(read_triplets(tmp_path / "t.parquet")) == TRIPLETS
    assert list(read_triplets(next((tmp_path / "saved").glob("*.arrow")))) == TRIPLETS
    assert list(read_triplets(tmp_path / "saved")) == TRIPLETS
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(FileError, match=r"bad\.parquet is damaged"):
        read_triplets(tmp_path / "bad.parquet")


def test_a_truncated_archive_is_damaged(tmp_path):
    path = tmp_path / "t.jsonl.gz"
    path.write_bytes(gzip.compress(as_jsonl() * 50)[:-20])
    with pytest.raises(FileError, match="damaged"):
        read_triplets(path)


def test_a_monstrous_line_is_named_and_the_rest_is_read(tmp_path):
    path = tmp_path / "t.jsonl"
    with path.open("wb") as stream:
        stream.write(as_jsonl() + b'{"a": "' + b"x" * (2 * LONGEST_LINE) + b'"}\n' + as_jsonl())
    rows = list(read_rows(path))
    assert [row.place for row in rows if row.error] == ["line 4"]
    assert len(rows) == 7
    with pytest.raises(TripletError, match="line 4: longer than 16 MiB"):
        read_triplets(path)


@pytest.mark.parametrize("seed", range(5))
def test_json_lists_read_like_the_standard_library(seed):
    """Entries that straddle the reader's blocks, with space and odd text about."""
    draw = random.Random(seed)
    entries = [
        draw.choice([{"k": "é]},{[" * draw.randrange(9000)}, [1, [2]], 'tex\\t"', {"a": None}])
        for _ in range(60)
    ]
    text = " \n" + json.dumps(entries, indent=seed or None, ensure_ascii=seed % 2 == 0) + "\n"
    assert len(text) > 2 * CHUNK
    assert list(JsonList(io.BytesIO(text.encode()))) == entries


@pytest.mark.parametrize("text", ["[1", "[1,]", "[1 2]", "[1] 2", '["a', "[{}"])
def test_what_is_no_json_list_is_refused(text):
    with pytest.raises(ValueError):
        json.loads(text)
    with pytest.raises(ValueError):
        list(JsonList(io.BytesIO(text.encode())))


def test_many_triplets_lie_on_disk_and_read_the_same():
    many = [Triplet(f"a {n} é", "b" * (n % 7 + 1), "c\n") for n in range(1000)]
    held = hold(iter(many), in_memory=10)
    assert not isinstance(held, tuple)
    assert list(held) == many
    assert held[-1] == many[-1]
    assert list(held[3:9:2]) == many[3:9:2]
    with pytest.raises(IndexError):
        held[1000]


def test_what_is_written_is_read_again_and_hashes_alike(tmp_path):
    path = tmp_path / "t.jsonl"
    assert write_triplets(path, TRIPLETS) == 3
    assert list(read_triplets(path)) == TRIPLETS


def test_captions(tmp_path):
    path = tmp_path / "c.txt"
    path.write_text("a dog \n\n[a] cat\n")
    assert list(read_captions(path)) == ["a dog", "[a] cat"]
    path = tmp_path / "c.csv"
    path.write_text("id,caption\n1,a dog\n\n2,\n")
    assert list(read_captions(path)) == ["a dog", ""]
    with pytest.raises(TripletError, match=r"line 2: no column title; it has id, caption"):
        list(read_captions(path, "title"))
