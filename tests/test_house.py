"""The house rules that a reader relies on, and the page that shows a reader round.

Which room may import which is import-linter's to say (pyproject.toml, `lint-imports`).
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # which pytest brings there

ROOT = Path(__file__).parents[1]
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
MODULES = [*sorted((ROOT / "rtd_adapters").rglob("*.py")), *PLUGINS]
LONGEST_MODULE, LONGEST_FUNCTION = 400, 60


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_stay_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(parsed(path)):
        if isinstance(node, functions):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: str(path.relative_to(ROOT)))
def test_plugins_use_public_names_only(path):
    """Every name a built-in plugin imports is one that any plugin may import."""
    import rtd_adapters

    public = set(rtd_adapters.__all__)
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rtd_adapters"):
            assert node.module == "rtd_adapters", f"{path.name} imports from {node.module}"
            assert {alias.name for alias in node.names} <= public
        elif isinstance(node, ast.Import):
            assert not any(alias.name.startswith("rtd_adapters") for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_can_be_imported_on_every_system(path):
    """What one kind of system has alone is imported where that system is asked for."""
    for node in parsed(path).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        assert not {"fcntl", "grp", "msvcrt", "pwd", "resource", "termios", "winreg"} & {*names}


def test_every_room_says_what_it_is():
    for room in (ROOT / "rtd_adapters").iterdir():
        if room.is_dir() and room.name != "__pycache__":
            assert ast.get_docstring(parsed(room / "__init__.py")), room.name


PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FILE = re.compile(r"`([\w./]+\.(?:py|pyi|md|html|toml|in))`")


def floors() -> list[str]:
    """The floors that import-linter holds, the highest first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (layers,) = (
        contract["layers"]
        for contract in settings["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    )
    return layers


def rooms() -> set[str]:
    """Folders and modules of the package, whose own `__init__` is no room."""
    entries = {path for path in (ROOT / "rtd_adapters").iterdir() if path.suffix in ("", ".py")}
    return {path.stem for path in entries} - {"__init__", "__pycache__"}


def place(path: str) -> Path:
    """A file as the architecture page names it."""
    outside = ROOT / path
    return outside if outside.exists() else ROOT / "rtd_adapters" / path


def names_in(path: Path) -> set[str]:
    """What a module defines or hands on at its top level."""
    names: set[str] = set()
    for node in parsed(path).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def test_the_architecture_page_draws_the_floors_that_are_held():
    (plan,) = re.findall(r"^```text\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert [re.split(r" {2,}", line)[0] for line in plan.splitlines()] == floors()


def test_the_architecture_page_describes_every_room_and_no_other():
    described = re.findall(r"^### `(\w+)`$", PAGE, flags=re.MULTILINE)
    assert sorted(described) == sorted(rooms())
    assert sorted(described) == sorted(room for floor in floors() for room in floor.split(" | "))


def test_the_files_on_the_architecture_page_exist():
    for path in FILE.findall(PAGE):
        assert place(path).is_file(), path


def test_the_names_on_the_architecture_page_are_in_the_files_it_says():
    entries = re.findall(r"^- (`.+(?:\n  .+)*)", PAGE, flags=re.MULTILINE)
    assert entries
    for entry in entries:
        path, names = entry.split(":", maxsplit=1)
        (file,) = FILE.findall(path)
        assert set(re.findall(r"`(\w+)`", names)) <= names_in(place(file)), file
