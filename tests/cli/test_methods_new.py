"""`rtd methods new` writes a plugin that installs, lists and patches as it stands."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from rtd_adapters.errors import FileError, UsageError
from rtd_adapters.io import manifest
from rtd_adapters.methods.skeleton import write_skeleton
from rtd_adapters.patch import TextEncoderPatch

EXAMPLE = Path(__file__).parents[2] / "examples" / "custom_plugin"


def test_the_example_is_what_the_command_writes(tmp_path):
    write_skeleton("linear", tmp_path / "new")
    made = {p.name: p.read_text() for p in (tmp_path / "new").iterdir()}
    del made[manifest.NAME]
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


def test_the_readme_inside_gives_the_commands_as_typed_there(tmp_path, rtd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = rtd("methods", "new", "linear", "rtd-linear").stdout
    from_outside = printed_commands(shown)
    inside = (tmp_path / "rtd-linear" / "README.md").read_text()
    assert from_outside[0] == "pip install ./rtd-linear"
    assert printed_commands(inside) == ["pip install .", *from_outside[1:]]


def test_a_folder_whose_name_a_shell_would_split(tmp_path, rtd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    install = printed_commands(rtd("methods", "new", "linear", "my plugin").stdout)[0]
    command, subcommand, path = shlex.split(install)
    assert (command, subcommand) == ("pip", "install")
    assert (tmp_path / path / "pyproject.toml").is_file()


def printed_commands(text):
    """The indented lines."""
    return [line.strip() for line in text.splitlines() if line.startswith("  ")]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A shell in a fresh environment that sees this one's packages; it runs one line."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "shared.pth").write_text(
        "\n".join(f"import site; site.addsitedir({path!r})" for path in _packages())
    )
    for command, module in (("pip", "pip"), ("rtd", "rtd_adapters")):
        script = folder / "bin" / command
        script.write_text(f'#!/bin/sh\nexec "{folder}/bin/python" -m {module} "$@"\n')
        script.chmod(0o755)
    # pip sets the second switch to what it reads: 0 is no isolation.
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | offline | {"PATH": path}

    def run(line, folder):
        done = subprocess.run(
            line,
            shell=True,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def _packages():
    return [path for path in sys.path if path.endswith("-packages")] or [
        sysconfig.get_path("purelib")
    ]


@pytest.mark.slow
def test_what_is_printed_leads_from_nothing_to_a_patch(fresh, tmp_path):
    """Every line as it is printed, in the folder in which the first one was typed."""
    new = "rtd methods new linear rtd-linear"
    install, listing, *train = printed_commands(fresh(new, tmp_path))
    assert "linear" not in fresh("rtd methods", tmp_path)
    fresh(install, tmp_path)
    assert "rtd-linear 0.1.0" in fresh(listing, tmp_path)
    assert "2 passed" in fresh("python -m pytest -q rtd-linear/test_plugin.py", tmp_path)
    for command in train:
        fresh(command, tmp_path)
    metadata = TextEncoderPatch.load(tmp_path / "weights.safetensors").metadata
    assert metadata.method == "linear"
    assert metadata.figures["after"]["recall@1"] > metadata.figures["before"]["recall@1"]


def test_a_folder_that_is_not_empty(tmp_path, rtd):
    (tmp_path / "mine").write_text("")
    refused = rtd("methods", "new", "linear", tmp_path)
    assert refused.returncode == 1
    assert "not empty" in refused.stderr
