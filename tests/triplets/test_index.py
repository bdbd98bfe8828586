"""Large files stay where they are: rows by their place, found once, and never believed blindly."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import os
import pickle
import random
from itertools import pairwise

import numpy as np
import pytest

from rtd_adapters.errors import FileError, TripletError
from rtd_adapters.triplets import Triplet, index, indexing, read_triplets, sources
from rtd_adapters.triplets.columns import OFFICIAL, parse_columns
from rtd_adapters.triplets.index import clear_indexes, index_folder, kept_indexes
from rtd_adapters.triplets.indexed import IndexedTriplets
from rtd_adapters.triplets.scan import Unscannable, scan_list

HARD = [
    'a "quoted\\" cat',
    "ends in \\",
    '\\\\"]},{[',
    "un caf\u00e9, \u4e2d\u6587",
    "line\nbreak\r\n",
    "\u2028 \x85 tab\t",
    "plain",
    "[{,]}",
]


def triplets(count, seed=0):
    draw = random.Random(seed)
    return [
        Triplet(*(f"{draw.choice(HARD)} {n} {draw.choice(HARD)}" for _ in range(3)))
        for n in range(count)
    ]


ROWS = triplets(2500)


def dicts(rows=ROWS, names=OFFICIAL):
    return [dict(zip(names, (r.reference, r.conditioning, r.target), strict=True)) for r in rows]


def lines(rows=ROWS, ascii=False, end="\n"):
    return "".join(json.dumps(row, ensure_ascii=ascii) + end for row in dicts(rows)).encode()


def blank(text):
    return b"\xef\xbb\xbf\n \t\n" + text.replace(b"}\n", b"}\n\n\x0b \xc2\xa0\r\n", 40)


WHOLE = json.dumps(dicts()[0], ensure_ascii=False)


@pytest.fixture(autouse=True)
def every_file_is_large(monkeypatch, tmp_path):
    monkeypatch.setenv("RTD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sources, "INDEXED", 0)
    monkeypatch.setattr(indexing, "BLOCK", 997)  # rows lie across blocks


FORMS = {
    "t.jsonl": lines(),
    "ascii.jsonl": lines(ascii=True),
    "windows.jsonl": lines(end="\r\n"),
    "blank.jsonl": blank(lines()),
    "unended.jsonl": lines().rstrip(b"\n"),
    "no_suffix": lines(),
    "t.json": json.dumps(dicts()).encode(),
    "indented.json": b"\xef\xbb\xbf \n" + json.dumps(dicts(), indent=2).encode() + b"\n ",
    "utf8.json": json.dumps(dicts(), ensure_ascii=False, separators=(",", ":")).encode(),
    "nested.json": json.dumps([{"more": [1, {"a": []}], **row} for row in dicts()]).encode(),
    "t.jsonl.gz": gzip.compress(lines()),
    "t.json.bz2": bz2.compress(json.dumps(dicts()).encode()),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_reads_as_it_does_without_an_index(tmp_path, name, monkeypatch):
    path = tmp_path / name
    path.write_bytes(FORMS[name])
    found = read_triplets(path)
    assert isinstance(found.triplets, IndexedTriplets)
    assert list(found) == ROWS
    assert found.sha256 == hashlib.sha256(FORMS[name]).hexdigest()
    assert found.source == name
    assert (found[-1], found[5:9:2]) == (ROWS[-1], tuple(ROWS[5:9:2]))
    with pytest.raises(IndexError):
        found[len(ROWS)]
    monkeypatch.setattr(sources, "INDEXED", 1 << 40)
    plain = read_triplets(path)
    assert not isinstance(plain.triplets, IndexedTriplets)
    assert (list(plain), plain.sha256) == (ROWS, found.sha256)


@pytest.mark.parametrize("dictionary", [False, True])
@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_columns(tmp_path, kind, dictionary):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.Table.from_pylist(dicts(names=("input", "edit", "output")))
    if dictionary:
        columns = [column.dictionary_encode() for column in table.columns]
        table = pyarrow.table(columns, names=table.schema.names)
    path = tmp_path / f"t.{kind}"
    if kind == "parquet":
        parquet.write_table(table, path, row_group_size=300)
    else:
        with pyarrow.OSFile(str(path), "wb") as out, pyarrow.ipc.new_file(out, table.schema) as w:
            w.write_table(table.slice(0, 700))
            w.write_table(table.slice(700))
    found = read_triplets(path)
    assert isinstance(found.triplets, IndexedTriplets)
    assert list(found) == ROWS
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    swapped = read_triplets(path, parse_columns("reference=output,conditioning=edit,target=input"))
    assert isinstance(swapped.triplets, IndexedTriplets)
    assert swapped[7] == Triplet(ROWS[7].target, ROWS[7].conditioning, ROWS[7].reference)


def test_columns_that_are_not_all_texts_are_read_as_before(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "t.parquet"
    rows = [*dicts(ROWS[:5]), {**dicts(ROWS[:1])[0], OFFICIAL[1]: None}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    with pytest.raises(TripletError, match="row 6: conditioning_caption is None"):
        read_triplets(path)


@pytest.fixture
def made(monkeypatch):
    """Files of which an index was made."""
    seen = []
    make = sources.make_index
    monkeypatch.setattr(sources, "make_index", lambda p, c: seen.append(p.name) or make(p, c))
    return seen


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.gz"])
def test_an_index_is_made_once_and_again_when_the_file_changes(tmp_path, name, made):
    path = tmp_path / name
    path.write_bytes(FORMS[name])
    for _ in range(3):
        assert list(read_triplets(path)) == ROWS
    assert made == [name]
    others = triplets(2500, seed=1)
    content = lines(others)
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert list(read_triplets(path)) == others
    assert made == [name] * 2


def test_content_is_sampled_though_size_and_time_stay(tmp_path, made):
    path = tmp_path / "t.jsonl"
    path.write_bytes(FORMS["t.jsonl"])
    read_triplets(path)
    state = path.stat()
    path.write_bytes(FORMS["t.jsonl"].replace(b"plain", b"paled"))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size
    found = read_triplets(path)
    assert len(made) == 2
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["places", "unpacked", "about.json"])
def test_a_damaged_index_is_made_anew(tmp_path, name, made):
    path = tmp_path / "t.jsonl.gz"
    path.write_bytes(FORMS["t.jsonl.gz"])
    read_triplets(path)
    kept = index_folder(path, None) / name
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)
    assert list(read_triplets(path)) == ROWS
    kept.unlink()
    assert list(read_triplets(path)) == ROWS
    assert len(made) == 3


def test_an_index_that_was_cut_off_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "t.jsonl"
    path.write_bytes(FORMS["t.jsonl"])

    def killed(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(index, "fill", killed)
    with pytest.raises(KeyboardInterrupt):
        read_triplets(path)
    assert not index_folder(path, None).exists()


def test_bad_rows_are_found_when_they_are_drawn(tmp_path):
    texts = FORMS["t.jsonl"].splitlines(keepends=True)
    bad = {
        1201: (b"{oops}\n", r"line 1204: .* in '\{oops\}'"),
        1301: (b'{"src": 1}\n', "line 1304: no reference_caption"),
        1401: (json.dumps(dicts()[0] | {OFFICIAL[2]: " "}).encode() + b"\n", "line 1404: .* empty"),
        1501: (b'{"reference_caption": "\xff"}\n', "line 1504: not UTF-8"),
        1601: (b"[" * 100_000 + b"\n", "line 1604: "),
    }
    for place, (line, _) in bad.items():
        texts[place] = line
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"\n\n" + b"".join(texts))
    found = read_triplets(path)
    assert len(found) == 2500
    assert found[1200] == ROWS[1200]
    for place, (_, message) in bad.items():
        with pytest.raises(TripletError, match=rf"t\.jsonl, {message}"):
            found[place]


def test_bad_entries_of_a_list_too(tmp_path):
    entries = [json.dumps(row) for row in dicts()]
    entries[1201] = '{"a"\n 2}'
    entries[1301] = "3"
    path = tmp_path / "t.json"
    path.write_text("[" + ",\n".join(entries) + "]")
    found = read_triplets(path)
    with pytest.raises(TripletError, match="line 1203: Expecting ':' delimiter"):
        found[1201]
    with pytest.raises(TripletError, match="entry 1302: a int, not an object"):
        found[1301]


def test_what_is_wrong_with_every_row_is_found_at_once(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_bytes(lines().replace(b"target_caption", b"aim"))
    with pytest.raises(TripletError, match="line 1: no target_caption"):
        read_triplets(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "holds no triplets|Expecting value"),
        ('[\n {"b" 2}]', "line 2: Expecting ':' delimiter"),
        (f"[{WHOLE}", "line 1: Expecting ',' or ']'"),
        (f"[{WHOLE}] 2", "line 1: extra data"),
        (f"[{WHOLE},]", "line 1: Expecting value"),
        (f"[{WHOLE} 2]", "line 1: "),
        ('[{"a": "b}]', "line 1: "),
        ("[1]", "entry 1: a int"),
    ],
)
def test_bad_lists_are_refused_as_before(tmp_path, text, message):
    path = tmp_path / "t.json"
    path.write_text(text)
    with pytest.raises(TripletError, match=message):
        read_triplets(path)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 4096])
def test_a_scan_finds_the_standard_librarys_entries(size):
    """Whatever the blocks cut apart."""
    draw = random.Random(size)
    values = [draw.choice([*HARD, {"k": HARD}, [1, [HARD]], {}, [], None, 1.5]) for _ in range(80)]
    for indent, ascii in ((None, True), (1, False)):
        text = f" {json.dumps(values, indent=indent, ensure_ascii=ascii)}\n".encode()
        blocks = (text[start : start + size] for start in range(0, len(text), size))
        places = np.concatenate(list(scan_list(blocks))).astype(int)
        found = [json.loads(text[a + 1 : b]) for a, b in pairwise(places)]
        assert found == values


@pytest.mark.parametrize("text", [b"[1", b"[1]]", b"[1] 2", b'["a', b"[{}", b'["\\"]'])
def test_what_does_not_end_is_no_list(text):
    with pytest.raises(Unscannable):
        list(scan_list([text]))


def test_a_file_that_changes_during_a_run_is_noticed(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_bytes(FORMS["t.jsonl"])
    found = read_triplets(path)
    with path.open("ab") as stream:
        stream.write(b"\n")
    with pytest.raises(FileError, match="was changed after it was opened"):
        found[0]


def test_another_process_opens_the_file_itself(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_bytes(FORMS["t.jsonl"])
    sent = pickle.dumps(read_triplets(path))
    assert len(sent) < 3000
    assert list(pickle.loads(sent)) == ROWS


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    path = tmp_path / "t.jsonl"
    path.write_bytes(FORMS["t.jsonl"])
    (tmp_path / "file").touch()
    monkeypatch.setenv("RTD_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="read without an index"):
        assert list(read_triplets(path)) == ROWS


def test_indexes_are_counted_and_cleared(tmp_path):
    for name in ("t.jsonl", "t.jsonl.gz"):
        path = tmp_path / name
        path.write_bytes(FORMS[name])
        found = read_triplets(path)
    assert kept_indexes().files == 2
    whole = kept_indexes().megabytes
    assert whole > len(FORMS["t.jsonl"]) / 1e6
    assert clear_indexes() == pytest.approx(whole)
    assert kept_indexes().files == 0
    assert list(found) == ROWS
