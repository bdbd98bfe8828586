"""docs/api.md lists the public names, all of them, under their rooms; its examples run."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
NOT_RUN = "# not run"
PACKAGE = "The package"


def names_on_the_page() -> dict[str, set[str]]:
    """Heading -> the names in its table."""
    sections = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)[1:]
    return {
        heading: set(re.findall(r"^\| `(\w+)` \| .+ \|$", text, flags=re.MULTILINE))
        for heading, text in zip(sections[::2], sections[1::2], strict=True)
    }


def names_of_the_package() -> dict[str, set[str]]:
    """Room -> the names that `__init__.pyi` takes from it."""
    stub = ast.parse((ROOT / "rtd_adapters" / "__init__.pyi").read_text(encoding="utf-8"))
    rooms: dict[str, set[str]] = {PACKAGE: {"__version__"}}
    for node in stub.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            room = rooms.setdefault(node.module.partition(".")[0], set())
            room |= {alias.asname or alias.name for alias in node.names}
    return rooms


def examples() -> list[tuple[int, str]]:
    """The page's Python blocks, each with the line that it begins on."""
    return [
        (PAGE[: match.start(1)].count("\n"), match.group(1))
        for match in re.finditer(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    ]


def compiled(line: int, example: str):
    return compile("\n" * line + example, "docs/api.md", "exec")


def test_the_page_lists_every_public_name_and_no_other():
    import rtd_adapters

    listed = [name for names in names_on_the_page().values() for name in names]
    assert sorted(listed) == sorted(rtd_adapters.__all__)


def test_each_name_stands_under_its_room():
    assert names_on_the_page() == names_of_the_package()


def test_each_name_stands_in_an_example_of_its_room():
    for heading, text in re.findall(r"^## (.+)\n((?:(?!^## ).*\n)+)", PAGE, flags=re.MULTILINE):
        code = "\n".join(re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
        used = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
        used |= {n.attr for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Attribute)}
        assert names_on_the_page()[heading] <= used, heading


def test_examples_that_are_not_run_compile_and_say_why():
    for line, example in examples():
        if example.startswith(NOT_RUN):
            assert re.match(r"# not run: \w+", example), f"docs/api.md:{line}"
            compiled(line, example)


@pytest.mark.slow
def test_the_examples_run_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world = {"__name__": "api_page"}
    for line, example in examples():
        if not example.startswith(NOT_RUN):
            exec(compiled(line, example), world)
