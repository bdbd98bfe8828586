"""Reading checkpoint files: every kind that is read, and every kind that is refused."""

from __future__ import annotations

import json
import os
import pickle
import sys
import zipfile
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import save_file

from rtd_adapters.errors import FileError
from rtd_adapters.io.checkpoints import read_checkpoint, read_header, read_safetensors

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2, dtype=torch.int64)}


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def test_safetensors_come_with_their_metadata(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file(STATE, path, metadata={"rtd": "{}"})
    tensors, metadata = read_safetensors(path)
    assert same(tensors, STATE)
    assert metadata == {"rtd": "{}"}
    header = {"a.weight": ("F32", [2, 3]), "a.bias": ("I64", [2])}
    assert read_header(path) == (header, {"rtd": "{}"})
    save_file(STATE, path)
    assert read_safetensors(str(path))[1] == {}
    assert read_header(str(path)) == (header, {})


@pytest.mark.skipif(sys.platform != "linux", reason="the rule is Linux's")
def test_the_header_of_a_file_larger_than_memory(tmp_path):
    """Which torch's own reader cannot map."""
    rows = 2 * (psutil.virtual_memory().total + psutil.swap_memory().total) // 4096
    about = {"rows": {"dtype": "F32", "shape": [rows, 1024], "data_offsets": [0, 4096 * rows]}}
    header = json.dumps(about).encode()
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 4096 * rows)  # of holes, which take no disk
    try:
        assert read_header(path)[0] == {"rows": ("F32", [rows, 1024])}
    finally:
        path.unlink()


@pytest.mark.parametrize("name", ["a.safetensors", "a.pt", "a.bin"])
def test_safetensors_are_known_whatever_their_name(tmp_path, name):
    save_file(STATE, tmp_path / name)
    assert same(read_checkpoint(tmp_path / name), STATE)


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.bin", "a.ckpt"])
@pytest.mark.parametrize("zipped", [True, False])
def test_files_of_torch_are_read_as_saved(tmp_path, name, zipped):
    path = tmp_path / name
    torch.save({"epoch": 3, "Phi": STATE}, path, _use_new_zipfile_serialization=zipped)
    found = read_checkpoint(path)
    assert found["epoch"] == 3
    assert same(found["Phi"], STATE)


class Trap:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("writer", ["zip", "legacy", "pickle"])
def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path, writer):
    path, mark = tmp_path / "evil.pt", tmp_path / "mark"
    if writer == "pickle":
        path.write_bytes(pickle.dumps(Trap(mark)))
    else:
        torch.save(
            {"w": STATE["a.weight"], "x": Trap(mark)},
            path,
            _use_new_zipfile_serialization=writer == "zip",
        )
    with pytest.raises(FileError, match=r"evil\.pt .*could run code.*weights_only=False"):
        read_checkpoint(path)
    assert not mark.exists()


def test_a_whole_pickled_module_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    with pytest.raises(FileError, match=r"module\.pt.*state_dict\(\).*Linear"):
        read_checkpoint(tmp_path / "module.pt")


@pytest.mark.filterwarnings("ignore")
def test_torchscript_needs_leave(tmp_path):
    path, module = tmp_path / "script.pt", torch.nn.Linear(2, 3)
    torch.jit.save(torch.jit.script(module), path)
    with pytest.raises(FileError, match=r"script\.pt is a TorchScript.*allow_torchscript=True"):
        read_checkpoint(path)
    assert same(read_checkpoint(path, allow_torchscript=True), module.state_dict())
    torch.save(STATE, path)
    assert same(read_checkpoint(path, allow_torchscript=True), STATE)


@pytest.mark.parametrize("read", [read_checkpoint, read_safetensors])
@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_missing_empty_and_folders(tmp_path, read, name):
    path = tmp_path / name
    with pytest.raises(FileError, match=rf"{name} cannot be read: No such file.*Check the path"):
        read(path)
    path.touch()
    with pytest.raises(FileError, match=f"{name} is empty"):
        read(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(FileError, match=f"{name} is a folder"):
        read(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_truncated_files_are_refused(tmp_path, kind, share):
    path = tmp_path / ("a.safetensors" if kind == "safetensors" else "a.pt")
    big = {"w": torch.randn(100, 100)}
    if kind == "safetensors":
        save_file(big, path)
    else:
        torch.save(big, path, _use_new_zipfile_serialization=kind == "zip")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(FileError, match=path.name):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE html><html>quota exceeded</html>",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00",
        b"\x80\x04garbage",
        b"PK\x03\x04garbage",
        json.dumps({"a": 1}).encode(),
        b"x",
    ],
)
@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_other_files_are_refused(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError, match=rf"{name} "):
        read_checkpoint(tmp_path / name)


def test_an_archive_that_would_fill_the_memory(tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50_000_000))
    with pytest.raises(FileError, match="would unpack to 50,000,000 bytes"):
        read_checkpoint(path)


@pytest.mark.parametrize("name", ["pipe", "device"])
def test_pipes_and_devices_are_not_read(name, tmp_path):
    path = tmp_path / "pipe.pt" if name == "pipe" else Path("/dev/zero")
    if name == "pipe":
        os.mkfifo(path)
    with pytest.raises(FileError, match="a device or a pipe"):
        read_checkpoint(path)
