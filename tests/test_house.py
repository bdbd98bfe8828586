"""The house rules that a reader relies on. Which room may import which is import-linter's to say
(pyproject.toml, `lint-imports`)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

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


def test_every_room_says_what_it_is():
    for room in (ROOT / "rtd_adapters").iterdir():
        if room.is_dir() and room.name != "__pycache__":
            assert ast.get_docstring(parsed(room / "__init__.py")), room.name
