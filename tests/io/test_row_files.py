"""Rows in files: written as safetensors itself does, mapped, and refused where they changed."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from rtd_adapters.errors import FileError
from rtd_adapters.io.row_files import map_rows, write_rows

ROWS = np.random.default_rng(0).normal(size=(11, 3)).astype("float32")


def by_the_library(path, rows=ROWS, dtype=torch.float32, **further):
    """The same rows as rtd kept them before it wrote by parts."""
    rows = torch.from_numpy(rows).to(dtype)
    content = hashlib.sha256(f"{dtype} {list(rows.shape)}".encode())
    content.update(rows.view(torch.uint8).numpy().tobytes())
    save_file({"embeddings": rows, **further}, path, {"sha256": content.hexdigest()})


@pytest.mark.parametrize("ends", [[], [4], [1, 1, 10]])
def test_the_file_is_the_librarys_byte_for_byte_however_it_is_parted(ends, tmp_path):
    write_rows(tmp_path / "ours", ROWS.shape, iter(np.split(ROWS, ends)))
    by_the_library(tmp_path / "theirs")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    assert np.array_equal(load_file(tmp_path / "ours")["embeddings"].numpy(), ROWS)
    found = map_rows(tmp_path / "ours")
    assert np.array_equal(found, ROWS)
    assert isinstance(found, np.memmap)
    assert not found.flags.writeable


def test_rows_that_do_not_lie_in_order(tmp_path):
    write_rows(tmp_path / "rows", (3, 11), [ROWS.T])
    assert np.array_equal(map_rows(tmp_path / "rows"), ROWS.T)


def test_no_rows(tmp_path):
    write_rows(tmp_path / "rows", (0, 3), [])
    assert map_rows(tmp_path / "rows").shape == (0, 3)


def test_what_the_parts_raise_is_raised_and_nothing_is_left(tmp_path):
    def parts():
        yield ROWS[:5]
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        write_rows(tmp_path / "rows", ROWS.shape, parts())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", [-1, -60, 40, 100])
def test_a_flipped_bit_is_found_wherever_it_is(place, tmp_path):
    write_rows(tmp_path / "rows", ROWS.shape, [ROWS])
    content = bytearray((tmp_path / "rows").read_bytes())
    content[place] ^= 1
    (tmp_path / "rows").write_bytes(content)
    with pytest.raises(FileError):
        map_rows(tmp_path / "rows")


def test_files_of_another_kind(tmp_path):
    path = tmp_path / "rows"
    with pytest.raises(FileError, match="rows cannot be read"):
        map_rows(path)
    write_rows(path, ROWS.shape, [ROWS])
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(FileError, match="rows is not a complete safetensors file"):
        map_rows(path)
    for write in (
        lambda: by_the_library(path, dtype=torch.float64),
        lambda: by_the_library(path, rows=np.tile(ROWS, (50, 1)), dtype=torch.float16),
        lambda: by_the_library(path, rows=ROWS[0]),
        lambda: by_the_library(path, other=torch.ones(1)),
        lambda: save_file({"embeddings": torch.from_numpy(ROWS)}, path),
    ):
        write()
        with pytest.raises(FileError, match="rows does not hold what was written there"):
            map_rows(path)
