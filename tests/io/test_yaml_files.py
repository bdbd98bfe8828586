"""YAML from outside: plain values alone, no key twice, and nothing of it is run."""

from __future__ import annotations

import pytest

from rtd_adapters.errors import FileError
from rtd_adapters.io.yaml_files import LARGEST, read_yaml


@pytest.fixture
def read(tmp_path):
    def of(text: str | bytes):
        file = tmp_path / "f.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_yaml(file)

    return of


def test_words_are_what_they_look_like(read):
    values = "[1e-5, 1.5, .5, -2, 010, no, on, true, 2024-01-01, 1:30, null, '3', a]"
    assert read(values) == [
        1e-5, 1.5, 0.5, -2, "010", "no", "on", True, "2024-01-01", "1:30", None, "3", "a"
    ]  # fmt: skip


def test_merged_keys_may_be_given_again(read):
    assert read("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}")["b"] == {"x": 3, "y": 2}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2\n", r"line 4: 'c' is there twice"),
        ("a: !!python/object/apply:os.system ['touch ran']", "line 1: could not determine"),
        ("a: !!timestamp 2024-01-01", "could not determine"),
        ("a: !!set {b, c}", "could not determine"),
        ("a: [1", "line 1"),
        (b"a: \xff", "not valid YAML"),
        ("[" * 5000, "not valid YAML"),
        ("a: " + "9" * 5000, "not valid YAML"),
        ("? [a]\n: 1", "not valid YAML"),
        ("# " + "x" * LARGEST, "more than rtd reads"),
    ],
)
def test_anything_else_is_refused(text, why, read, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileError, match=why):
        read(text)
    assert not (tmp_path / "ran").exists()


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(FileError, match="missing or no file"):
            read_yaml(path)
