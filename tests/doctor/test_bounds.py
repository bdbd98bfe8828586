"""Files that unpack to more than any memory holds, or never end: a message, in bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rtd_adapters.doctor import examine
from rtd_adapters.errors import FileError

UNPACKED = 400 << 20
ROOM = 250 << 20
"""Bytes that the child may take beyond what its imports did; less than any of the files holds."""
CHILD = """
import resource, sys
from pathlib import Path
if sys.argv[1] == "examine":
    import torch
else:
    import pyarrow.parquet, pyarrow.compute
from rtd_adapters.errors import RtdError
from rtd_adapters.doctor import examine
from rtd_adapters.triplets.formats import read_rows
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    if sys.argv[1] == "examine":
        examine(Path(sys.argv[2]))
    else:
        print(sum(1 for row in read_rows(sys.argv[2])), "rows")
except RtdError as error:
    print(error)
"""


def bounded(what, path, room=ROOM) -> str:
    """What a child says that has little memory and little time."""
    run = subprocess.run(
        [sys.executable, "-c", CHILD, what, str(path), str(room)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout


def archive(path, *names):
    """A zip of zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name in names:
            with file.open(name, "w") as entry:
                for _ in range(UNPACKED >> 20):
                    entry.write(bytes(1 << 20))
    assert path.stat().st_size < 4 << 20
    return path


@pytest.mark.parametrize("name", ["model/data/0", "model/data.pkl", "model/constants.pkl"])
def test_a_zip_that_unpacks_to_far_more_than_it_is(name, tmp_path):
    path = archive(tmp_path / "model.pt", name)
    assert f"{path} would unpack to" in bounded("examine", path)


def test_a_pickle_that_is_too_long(tmp_path):
    """Stored as it is, so that the archive holds what it says."""
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as file, file.open("model/data.pkl", "w") as entry:
        for _ in range(UNPACKED >> 20):
            entry.write(bytes(1 << 20))
    assert f"{path} has a pickle of 419,430,400 bytes" in bounded("examine", path)


def test_a_parquet_file_of_a_kilobyte_and_five_gigabytes(tmp_path):
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    rows = 20_000
    once = arrow.DictionaryArray.from_arrays(arrow.array([0] * rows, arrow.int32()), ["a" * 90_000])
    names = ("reference_caption", "conditioning_caption", "target_caption")
    path = tmp_path / "triplets.parquet"
    parquet.write_table(
        arrow.table(dict.fromkeys(names, once)), path, compression="zstd", store_schema=False
    )
    assert path.stat().st_size < 10_000
    assert bounded("rows", path, 600 << 20) == f"{rows} rows\n"


def test_a_parquet_file_that_unpacks_to_far_more_than_text_does(tmp_path):
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    path = tmp_path / "triplets.parquet"
    table = arrow.table({"reference_caption": ["a" * (1 << 20)] * 300})
    parquet.write_table(table, path, compression="zstd", use_dictionary=False)
    assert "unpacks a row group to" in bounded("rows", path)


EVERY_BYTE = """
import sys
from pathlib import Path
from rtd_adapters.errors import FileError
from rtd_adapters.triplets.formats import read_rows
whole, path = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
read = refused = 0
for place in range(len(whole) - 8 - int.from_bytes(whole[-8:-4], "little"), len(whole)):
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:])
    try:
        read += len(list(read_rows(path)))
    except FileError:
        refused += 1
print(read and refused)
"""


def test_no_byte_of_a_parquet_footer_ends_the_process(tmp_path):
    """As pyarrow's own reading of a column's damaged statistics does."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    whole, path = tmp_path / "whole.parquet", tmp_path / "triplets.parquet"
    parquet.write_table(arrow.table({"reference_caption": ["a dog", "a cat"]}), whole)
    command = [sys.executable, "-c", EVERY_BYTE, str(whole), str(path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert int(run.stdout) > 100


@pytest.mark.parametrize("place", ["/dev/zero", "PIPE"])
def test_devices_and_pipes_are_not_read(place, tmp_path):
    if place == "PIPE":
        place = tmp_path / "pipe"
        os.mkfifo(place)
    with pytest.raises(FileError, match="no ordinary file but a device or a pipe"):
        examine(Path(place))


def test_a_checkout_of_endless_files_is_none(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/phi.py").symlink_to("/dev/zero")
    with (tmp_path / "train_phi.py").open("wb") as file:
        file.truncate(2 << 30)
    assert "none of the checkouts" in bounded("examine", tmp_path)


@pytest.mark.parametrize("content", [100 << 20, b"{", b"[" * 100_000])
def test_a_folder_whose_config_is_none(content, tmp_path):
    with (tmp_path / "config.json").open("wb") as file:
        if isinstance(content, int):
            file.truncate(content)
        else:
            file.write(content)
    with pytest.raises(FileError, match=r"config\.json "):
        examine(tmp_path)


def test_paths_that_cannot_be_looked_at(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot be read: Not a directory"):
        examine(tmp_path / "file" / "inside")
    with pytest.raises(FileError, match="cannot be read: File name too long"):
        examine(tmp_path / ("a" * 300))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"secret")
    path.chmod(0)
    with pytest.raises(FileError, match="cannot be read: Permission denied"):
        examine(path)


def test_an_archive_that_says_it_spans_disks(tmp_path):
    """Of which zipfile complains even when it is only asked whether a file is an archive."""
    import torch

    path = tmp_path / "a.pt"
    torch.save({"a": torch.ones(2)}, path)
    data = bytearray(path.read_bytes())
    locator = data.rindex(b"PK\x06\x07")  # of zip64: sign, disk, offset, number of disks
    data[locator + 16 : locator + 20] = (7).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(path)
    with pytest.raises(FileError, match="truncated or damaged"):
        examine(path)
