"""OUT.work: one run at a time, no foreign file deleted, no damage read."""

from __future__ import annotations

import os

import pytest

from rtd_adapters.errors import FileError
from rtd_adapters.triplets.work import Journal, work_folder

SETTINGS = {"seed": 0}


@pytest.fixture
def out(tmp_path):
    """The output of a run that broke off, beside which somebody keeps notes."""
    out = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt), work_folder(out, SETTINGS, overwrite=False) as folder:
        with Journal(folder / "captions.jsonl").writing() as writer:
            for number in range(3):
                writer.append([f"caption\t{number}\u2028", []])
        (folder / "notes.txt").write_text("mine")
        raise KeyboardInterrupt
    return out


def names(out):
    return sorted(path.name for path in out.with_name("out.jsonl.work").iterdir())


def test_it_goes_on_with_what_is_there_and_leaves_what_is_not_its_own(out):
    with work_folder(out, SETTINGS, overwrite=False) as folder:
        rows = list(Journal(folder / "captions.jsonl"))
    assert rows == [[f"caption\t{number}\u2028", []] for number in range(3)]
    assert names(out) == ["notes.txt"]


@pytest.mark.parametrize("text", ["{", "[]", '{"seed": 1}', "\xff", None])
def test_settings_that_do_not_fit_are_refused_or_thrown_away(out, text):
    path = out.with_name("out.jsonl.work") / "settings.json"
    path.unlink() if text is None else path.write_text(text, encoding="latin-1")
    with (
        pytest.raises(FileError, match="--overwrite to throw it away"),
        work_folder(out, SETTINGS, overwrite=False),
    ):
        pass
    assert "captions.jsonl" in names(out)
    with work_folder(out, SETTINGS, overwrite=True):
        assert names(out) == ["notes.txt", "settings.json"]


@pytest.mark.parametrize("damage", ["bit", "cut", "joined"])
def test_a_damaged_line_in_the_middle_is_named(out, damage):
    path = out.with_name("out.jsonl.work") / "captions.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = {
        "bit": lines[1].replace(b"caption", b"captiOn"),
        "cut": lines[1][:9] + b"\n",
        "joined": lines[1][:-1],
    }[damage]
    path.write_bytes(b"".join(lines))
    with pytest.raises(FileError, match=r"captions\.jsonl, line 2 is damaged"):
        list(Journal(path))


def test_rows_are_read_by_their_number(out):
    path = out.with_name("out.jsonl.work") / "captions.jsonl"
    with Journal(path).rows() as rows:
        assert len(rows) == 3
        assert [rows[n][0] for n in (2, 0, 1)] == [f"caption\t{n}\u2028" for n in (2, 0, 1)]
        assert list(rows) == list(Journal(path))
        with pytest.raises(IndexError):
            rows[3]
    with pytest.raises(ValueError, match="closed"):
        rows[0]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[1].replace(b"caption", b"captiOn"), lines[2]]))
    with Journal(path).rows() as rows:
        assert rows[2] == ["caption\t2\u2028", []]
        with pytest.raises(FileError, match=r"captions\.jsonl, line 2 is damaged"):
            rows[1]


def test_a_second_run_is_refused_while_the_first_is_at_work(out):
    with (
        work_folder(out, SETTINGS, overwrite=False),
        pytest.raises(FileError, match=rf"another run \(process {os.getpid()}"),
        work_folder(out, SETTINGS, overwrite=True),
    ):
        pass
