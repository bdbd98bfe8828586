"""What pyproject.toml declares is what the folders hold and what the tests are run under."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # which pytest brings there

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, SETUPTOOLS = SETTINGS["project"], SETTINGS["tool"]["setuptools"]
FOLDERS = {package: ROOT / folder for package, folder in SETUPTOOLS["package-dir"].items()}


def files_under(folder: Path) -> list[Path]:
    return [
        path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]


def test_every_package_is_listed():
    found = {
        ".".join((package, *path.parent.relative_to(folder).parts))
        for package, folder in FOLDERS.items()
        for path in files_under(folder)
        if path.suffix == ".py"
    }
    assert sorted(found) == SETUPTOOLS["packages"]


def test_every_file_that_is_no_module_is_package_data():
    for package, folder in FOLDERS.items():
        patterns = SETUPTOOLS["package-data"].get(package, [])
        listed = {path for pattern in patterns for path in folder.glob(pattern)}
        assert listed == {path for path in files_under(folder) if path.suffix != ".py"}


def test_every_pattern_of_package_data_finds_something():
    for package, patterns in SETUPTOOLS["package-data"].items():
        for pattern in patterns:
            assert list(FOLDERS[package].glob(pattern)), pattern


def declared(extra: str | None = None) -> Iterator[Requirement]:
    """Dependencies, or those of an extra and of the extras that it names."""
    lines = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    for requirement in map(Requirement, lines):
        if requirement.name == PROJECT["name"]:
            for inner in requirement.extras:
                yield from declared(inner)
        else:
            yield requirement


def lowest_of(requirement: Requirement) -> Version:
    (bound,) = (part.version for part in requirement.specifier if part.operator == ">=")
    return Version(bound)


def test_the_lowest_versions_are_those_that_are_declared():
    lines = (ROOT / "tests" / "constraints" / "lowest.txt").read_text(encoding="utf-8")
    pinned = dict(line.split("==") for line in lines.splitlines() if not line.startswith("#"))
    bounds = {
        canonicalize_name(requirement.name): lowest_of(requirement)
        for requirement in (*declared(), *declared("test"))
    }
    assert {canonicalize_name(name): Version(pin) for name, pin in pinned.items()} == bounds
