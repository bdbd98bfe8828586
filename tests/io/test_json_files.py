"""JSON from outside is read or refused with a sentence; it never crashes anything."""

from __future__ import annotations

import json
import os

import pytest

from rtd_adapters.errors import FileError
from rtd_adapters.io.json_files import parse_json, read_json

BAD = {
    "deep": "[" * 100_000,
    "digits": "1" * 6_000,
    "torn": '{"a": ',
    "empty": "",
    "no utf-8": b"\xff\xfe{}",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_damaged_json_is_refused(text, tmp_path):
    with pytest.raises(FileError, match="here is not valid JSON"):
        parse_json(text, "here")
    path = tmp_path / "file.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(FileError, match=r"file\.json is not valid JSON"):
        read_json(path)


def test_what_is_no_file_or_too_large(tmp_path):
    with pytest.raises(FileError, match="missing or no file"):
        read_json(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileError, match="missing or no file"):
        read_json(tmp_path / "pipe")
    (tmp_path / "large").write_text(json.dumps("x" * 100))
    with pytest.raises(FileError, match="102 bytes, more than rtd reads"):
        read_json(tmp_path / "large", largest=101)
    assert read_json(tmp_path / "large", largest=102) == "x" * 100
    os.truncate(tmp_path / "large", (1 << 30) + 1)  # sparse: it takes no room on disk
    with pytest.raises(FileError, match=r"more than rtd reads \(1,073,741,824\)"):
        read_json(tmp_path / "large")


def test_the_rest_is_read(tmp_path):
    path = tmp_path / "file.json"
    path.write_text(json.dumps({"a": [1, "\u00e9"]}), encoding="utf-8")
    assert read_json(path) == {"a": [1, "\u00e9"]}
