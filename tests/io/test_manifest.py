"""What stands in the way of replacing a folder is named, as much of it as can be read."""

from __future__ import annotations

import json

import pytest

from rtd_adapters.errors import FileError
from rtd_adapters.io.manifest import require_ours, write_manifest


def test_the_first_three_foreign_files_are_named_and_the_rest_counted(tmp_path):
    (tmp_path / "ours").touch()
    write_manifest(tmp_path)
    require_ours(tmp_path)
    for name in "abc":
        (tmp_path / name).touch()
    with pytest.raises(FileError, match=r"did not write \(a, b, c\);"):
        require_ours(tmp_path)
    for name in "de":
        (tmp_path / name).symlink_to(tmp_path)
    with pytest.raises(FileError, match=r"did not write \(a, b, c and 2 more\);"):
        require_ours(tmp_path)


@pytest.mark.parametrize("listed", ["[", "[]", "{}", '{"files": 3}', '{"files": [3]}'])
def test_a_damaged_list_names_nothing(tmp_path, listed):
    (tmp_path / "file").touch()
    (tmp_path / ".rtd-files.json").write_text(listed)
    with pytest.raises(FileError, match=r"did not write \(file\)"):
        require_ours(tmp_path)


def test_the_list_holds_files_of_every_depth_and_no_folders(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "file").touch()
    write_manifest(tmp_path)
    assert json.loads((tmp_path / ".rtd-files.json").read_text()) == {"files": ["deep/er/file"]}
