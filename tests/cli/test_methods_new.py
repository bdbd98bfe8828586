"""`rtd methods new` writes a plugin that installs, lists and patches as it stands."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from rtd_adapters.errors import FileError, UsageError
from rtd_adapters.methods.skeleton import write_skeleton

EXAMPLE = Path(__file__).parents[2] / "examples" / "custom_plugin"


def test_the_example_is_what_the_command_writes(tmp_path):
    write_skeleton("linear", tmp_path / "new")
    made = {p.name: p.read_text() for p in (tmp_path / "new").iterdir()}
    assert made == {p.name: p.read_text() for p in EXAMPLE.iterdir() if p.is_file()}


@pytest.mark.parametrize("name", ["Linear", "9lives", "my-method", "", "a b", "../up"])
def test_names_that_are_none(name, tmp_path):
    with pytest.raises(UsageError, match="cannot name a method"):
        write_skeleton(name, tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_taken(tmp_path):
    with pytest.raises(UsageError, match="installed already"):
        write_skeleton("searle", tmp_path / "new", frozenset({"searle"}))


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(FileError, match="No space left"):
        write_skeleton("linear", tmp_path / "new")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A fresh environment that sees this one's packages."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "shared.pth").write_text(
        "\n".join(f"import site; site.addsitedir({path!r})" for path in _packages())
    )
    return folder / "bin" / "python"


def _packages():
    return [path for path in sys.path if path.endswith("-packages")] or [
        sysconfig.get_path("purelib")
    ]


@pytest.mark.slow
def test_from_nothing_to_a_patch(fresh, tmp_path, rtd):
    plugin = tmp_path / "rtd-linear"
    assert rtd("methods", "new", "linear", plugin).returncode == 0
    again = rtd("methods", "new", "linear", plugin)
    assert again.returncode == 1
    assert "not empty" in again.stderr

    def python(*words):
        done = subprocess.run(
            [fresh, *map(str, words)], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    python("-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", plugin)
    listed = json.loads(python("-m", "rtd_adapters", "methods", "--json"))
    assert "linear" in [method["name"] for method in listed["methods"]]
    assert "rtd-linear 0.1.0" in [entry["distribution"] for entry in listed["plugins"]]
    assert "2 passed" in python("-m", "pytest", "-q", plugin / "test_plugin.py")

    projection, patch = tmp_path / "linear.safetensors", tmp_path / "w.safetensors"
    python("-m", "rtd_adapters.demo.build", "--projection", "linear", "--out", projection)
    options = ("--projection", projection, "--out", patch, "--json")
    result = json.loads(python("-m", "rtd_adapters", "patch", "--method", "linear", *options))
    assert result["after"]["recall@1"] > result["before"]["recall@1"]
    assert patch.exists()
