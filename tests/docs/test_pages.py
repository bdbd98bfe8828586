"""What pages say of the code is so: messages, fields, prompts, scripts."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
HOLE = "\0"
METHODS = ("searle", "pic2word", "lincir", "context_i2w", "fti4cir", "keds")


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def texts_of_the_code() -> list[str]:
    """Every text of the package and its plugins, with a hole where a value goes."""
    found = []
    for path in [*(ROOT / "rtd_adapters").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (
                    part.value if isinstance(part, ast.Constant) else HOLE for part in node.values
                )
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_each_message_is_one_of_the_code():
    texts = texts_of_the_code()
    quoted = re.findall(r"^\| `(.+?)` \|", page("troubleshooting.md"), re.MULTILINE)
    assert len(quoted) > 30
    for message in quoted:
        pieces = [piece for piece in message.split("...") if piece]
        assert max(map(len, pieces)) > 8, message
        sought = re.compile(f"[^{HOLE}]*{HOLE}.*?".join(map(re.escape, pieces)), re.DOTALL)
        assert any(sought.search(text) for text in texts), message


def test_the_file_has_these_fields_and_no_others():
    from rtd_adapters.patch.metadata import KEY, SCHEMA, PatchMetadata

    section = page("file-format.md").split("## Metadata")[1].split("## ")[0]
    cells = re.findall(r"^\| (`.+?) \|", section, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert named == {field.name for field in fields(PatchMetadata)}
    assert f"`{KEY}`" in section and f"| `schema` | {SCHEMA};" in section


@pytest.mark.parametrize("name", METHODS)
def test_a_methods_page_says_what_the_plugin_does(name):
    from rtd_adapters import get_method

    method, text = get_method(name), page(f"methods/{name}.md")
    plain = re.sub(
        r"&lt;|&gt;|&#124;", lambda sign: {"&l": "<", "&g": ">"}.get(sign[0][:2], "|"), text
    )
    assert f"| `--method` | `{name}` |" in text
    for said in (method.composed_prompt, method.bare_prompt):
        assert said in plain
    assert f"| layout | `{method.layout}` |" in text
    assert method.reference_url in text
    ways = re.search(r"^\| patched \| (.+) \|$", text, re.MULTILINE)[1]
    assert all(f"by {way}" in ways for way in method.injections)
    trained = f"rtd projection train --method {name}" in text
    assert trained == (method.projection_training is not None)


def test_every_installed_method_of_ours_has_a_page():
    from importlib.metadata import entry_points

    ours = {
        e.name for e in entry_points(group="rtd_adapters") if e.value.startswith("rtd_plugins.")
    }
    assert ours == set(METHODS)


def test_every_benchmark_script_is_on_the_page_with_its_table():
    section = page("measuring.md").split("## Which script makes what")[1]
    rows = dict(re.findall(r"^\| `(\w+\.py)` \| (.+) \|$", section, re.MULTILINE))
    folder = ROOT / "examples" / "benchmarks"
    assert rows.keys() == {path.name for path in folder.glob("*.py")}
    linked = {name for row in rows.values() for name in re.findall(r"benchmarks/([\w-]+\.md)", row)}
    assert linked == {path.name for path in folder.glob("*.md")}
