"""The site builds strictly, shows every public name, and fetches nothing."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytest.importorskip("mkdocs", reason="the site needs pip install 'rtd-adapters[docs]'")
pytest.importorskip("material", reason="the site needs pip install 'rtd-adapters[docs]'")
pytest.importorskip("mkdocstrings", reason="the site needs pip install 'rtd-adapters[docs]'")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; a warning would have ended the build."""
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(build, cwd=ROOT, env=quiet, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_public_name_is_in_the_reference(site):
    import rtd_adapters

    pages = "".join(path.read_text() for path in (site / "reference").glob("*.html"))
    for name in rtd_adapters.__all__:
        assert name == "__version__" or f'id="rtd_adapters.{name}"' in pages, name


def test_a_newcomer_is_two_clicks_from_a_patch_in_a_repository(site):
    """Start, the repository's page, the command."""
    start = (site / "index.html").read_text()
    for name in ("searle", "pic2word", "lincir", "context_i2w", "fti4cir", "keds"):
        article = start.split("<article")[1]
        assert f'href="methods/{name}.html"' in article
        text = re.sub(r"<[^>]+>", "", (site / "methods" / f"{name}.html").read_text())
        assert f"rtd patch --method {name}" in text
        assert "rtd export weights.safetensors" in text and "rtd run --patch" in text


def test_a_readers_browser_fetches_nothing(site):
    for path in site.rglob("*.html"):
        html = path.read_text()
        loaded = re.findall(r'<(?:script|img|iframe|source)\b[^>]*\bsrc="?([^" >]+)', html)
        loaded += re.findall(
            r'<link rel="?(?:stylesheet|preload|preconnect|icon)[^>]*href="?([^" >]+)', html
        )
        assert loaded
        assert not [place for place in loaded if re.match(r"(https?:)?//", place)], path.name
        assert 'data-md-component="source"' not in html  # whose script asks GitHub for stars
    for path in site.rglob("*.css"):
        assert not re.findall(r"url\((?:[\"']?)(?:https?:)?//", path.read_text()), path.name


def linked(hooks, target: str) -> str:
    page = ROOT / "docs" / "guides" / "method.md"
    text = f"[x]({target})"
    return hooks.LINK.sub(lambda m: hooks._sent(page, m, "https://example.org/rtd/"), text)


def test_links_out_of_docs_go_to_the_repository(hooks, caplog):
    blob, tree = "https://example.org/rtd/blob/main", "https://example.org/rtd/tree/main"
    assert linked(hooks, "../../README.md#start") == f"[x]({blob}/README.md#start)"
    assert linked(hooks, "../../tests/docs") == f"[x]({tree}/tests/docs)"
    assert linked(hooks, "../plugins.md#hooks") == "[x](../plugins.md#hooks)"
    assert linked(hooks, "https://example.org/a") == "[x](https://example.org/a)"
    assert not caplog.records


def test_a_link_out_of_docs_to_nothing_fails_a_strict_build(hooks, caplog):
    for target in ("../../nowhere.md", "../../../elsewhere.md"):
        with caplog.at_level(logging.WARNING):
            assert linked(hooks, target) == f"[x]({target})"
    assert len(caplog.records) == 2
    assert caplog.records[0].name.startswith("mkdocs.")  # which strict builds count


def test_a_public_name_without_a_docstring_fails_a_strict_build(hooks, caplog):
    from types import SimpleNamespace

    reference = SimpleNamespace(file=SimpleNamespace(src_uri="reference/io.md"))
    told = '<h2 id="rtd_adapters.a">a</h2><div class="doc doc-contents first">\n<p>What.</p></div>'
    bare = '<h2 id="rtd_adapters.b">b</h2><div class="doc doc-contents first">\n</div>'
    hooks.on_page_content(told + bare + told, reference, None, None)
    assert [record.args for record in caplog.records] == [("b",)]


def test_a_page_takes_another_in(hooks):
    taken = hooks._taken_in(
        ROOT / "docs/methods/context_i2w.md", "../../examples/context_i2w/README.md"
    )
    assert "\n### By file: `--resume`\n" in taken and "\n# " not in taken
    assert "](../../examples/benchmarks/methods.md)" in taken


def test_rows_of_a_table(hooks, caplog):
    page, table = ROOT / "docs/methods/keds.md", "../../examples/benchmarks/methods.md"
    rows = hooks._rows(page, table, "keds").splitlines()
    assert len(rows) == 5 and all(row.startswith("| keds |") for row in rows[2:])
    assert len(hooks._rows(page, table, None).splitlines()) > 10
    hooks._rows(page, table, "nobody")
    assert len(caplog.records) == 1


def test_a_diagram_shows_each_arrow_once(hooks):
    shown = hooks._flow("    a --> b[two words]\n    b --> c\n    b --> d\n    d --> c\n")
    lines = re.findall("<p>(.*?)</p>", shown)
    words = [re.findall("<span>(.*?)</span>", line) for line in lines]
    assert words == [["a", "two words", "c"], ["two words", "d", "c"]]
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    assert len(hooks.FLOW.findall(text)) == text.count("```mermaid")
