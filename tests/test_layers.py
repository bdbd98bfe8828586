"""The rooms of the house: imports point downwards only (docs: "Rooms", from the top down)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "rtd_adapters"
ROOMS = [  # from the ground up; a room may import what stands below it, and itself
    {"errors"},
    {"files", "checkpoints", "memory"},
    {"text", "images"},
    {"surrogates", "pickled_modules"},
    {"methods", "hookspecs", "projections", "skeleton"},
    {"registry"},
    {"triplets"},
    {"demo"},
    {"backbones"},
    {"patch"},
    {"training"},
    {"evaluation"},
    {"patching", "launcher", "doctor", "bench"},
    {"sweeps"},
    {"cli"},
    {"__main__"},
]
FLOOR = {name: floor for floor, names in enumerate(ROOMS) for name in names}


def imports(path: Path) -> set[str]:
    """Rooms that a module imports when it runs; what only type checkers read does not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    names = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return {name.split(".")[1] for name in names if name.startswith("rtd_adapters.")}


def room(path: Path) -> str:
    part = path.relative_to(PACKAGE).parts[0]
    return part.removesuffix(".py")


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if room(path) != "__init__")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_stands_below_it(path):
    here = room(path)
    assert here in FLOOR, f"say on which floor {here} stands"
    above = {name for name in imports(path) if FLOOR[name] >= FLOOR[here] and name != here}
    assert not above


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_stay_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_plugins_use_public_names_only():
    """Every name a built-in plugin imports is one that any plugin may import."""
    import rtd_adapters

    public = set(rtd_adapters.__all__)
    for path in (PACKAGE.parent / "plugins").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rtd_adapters"):
                assert node.module == "rtd_adapters", f"{path.name} imports from {node.module}"
                assert {alias.name for alias in node.names} <= public
