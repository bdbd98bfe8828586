"""The official triplet file: both forms are read, everything else is refused with its place."""

from __future__ import annotations

import hashlib
import json

import pytest

from rtd_adapters.errors import FileError, TripletError
from rtd_adapters.triplets import Triplet, read_triplets

ROW = {
    "reference_caption": "a red star",
    "conditioning_caption": "is blue",
    "target_caption": "a blue star",
}


def written(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "triplets.json"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("indent", [None, 2])
def test_a_list(tmp_path, indent):
    path = written(tmp_path, json.dumps([ROW, ROW | {"more": 1}], indent=indent))
    found = read_triplets(path)
    assert list(found) == [Triplet("a red star", "is blue", "a blue star")] * 2
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.source == "triplets.json"


def test_one_object_a_line_with_blank_lines_and_a_byte_order_mark(tmp_path):
    text = "\ufeff" + json.dumps(ROW) + "\n\n" + json.dumps(ROW) + "\n"
    assert len(read_triplets(written(tmp_path, text))) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("[]", "holds no triplets"),
        ('[\n {"b" 2}]', "line 2: Expecting ':' delimiter"),
        (json.dumps(ROW) + "\n{oops}\n", "line 2: .* in '{oops}'"),
        ("[1]", "entry 1: a int, not an object"),
        (
            json.dumps([ROW, {"target_caption": "x", "src": "y"}]),
            "entry 2: no reference_caption, conditioning_caption; it has target_caption, src",
        ),
        (json.dumps([ROW | {"target_caption": " "}]), "entry 1: target_caption is empty"),
        (json.dumps([ROW | {"target_caption": None}]), "target_caption is None, not a string"),
        (json.dumps({key: [value] for key, value in ROW.items()}), "looks like columns"),
    ],
)
def test_bad_files_say_what_and_where(tmp_path, text, message):
    with pytest.raises(TripletError, match=message):
        read_triplets(written(tmp_path, text))


def test_other_encodings_name_the_line(tmp_path):
    text = json.dumps(ROW) + "\n" + json.dumps(ROW | {"target_caption": "é"}, ensure_ascii=False)
    with pytest.raises(TripletError, match="line 2: not UTF-8"):
        read_triplets(written(tmp_path, text, "latin-1"))


def test_a_missing_file(tmp_path):
    with pytest.raises(FileError, match="No such file"):
        read_triplets(tmp_path / "none.json")
