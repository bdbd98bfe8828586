"""A file's hash is that of all its bytes."""

from __future__ import annotations

import hashlib

import pytest

from rtd_adapters.errors import FileError
from rtd_adapters.io.hashes import file_sha256


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_a_file_of_any_size(size, tmp_path):
    content = bytes(place % 251 for place in range(size))
    (tmp_path / "file").write_bytes(content)
    assert file_sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileError, match=r"gone cannot be read: No such file"):
        file_sha256(tmp_path / "gone")
