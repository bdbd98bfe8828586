"""What the site needs beyond MkDocs: links that leave docs/, the reference, and marks of blocks.

MkDocs calls the functions whose names begin with `on_`; a warning fails a strict build.
"""

from __future__ import annotations

import ast
import logging
import os
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mkdocs.structure.files import File

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # which the extra brings there

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
REPOSITORY = "https://github.com/rtd-adapters/rtd-adapters"
"""Where pyproject.toml names none."""
STUB = ROOT / "rtd_adapters" / "__init__.pyi"
WIDE = {"conventions.md", "methods/index.md", "towers.md"}
"""Pages whose tables want the place of the table of contents."""
LINK = re.compile(r"(\]\()([^)#\s]+)([^)]*\))")
NEEDS = re.compile(r"^<!-- (?:run: [^;\n]+; )?needs: (.+) -->$", re.MULTILINE)
WITH = re.compile(r"^<!-- with: (\S+) -->$", re.MULTILINE)
ROWS = re.compile(r"^<!-- rows: (\S+)(?: (\w+))? -->$", re.MULTILINE)
FLOW = re.compile(r"^```mermaid\nflowchart LR\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DOCSTRING = re.compile(
    r'class="doc doc-contents first">\s*(?:<p class="doc doc-class-bases">.*?</p>\s*)?<p>',
    re.DOTALL,
)
log = logging.getLogger("mkdocs.plugins.rtd")


def on_config(config: Any) -> Any:
    """Addresses, which pyproject.toml alone names, and the reference's place in the menu."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    urls = project.get("urls", {})
    # The theme asks GitHub's server for the stars of a `repo_url`, so it gets none.
    config.extra["repository"] = urls.get("Repository", urls.get("Homepage", REPOSITORY))
    config.site_url = urls.get("Documentation", config.site_url)
    config.nav.append({"Repository": config.extra["repository"]})
    (python,) = (section["Python"] for section in config.nav if "Python" in section)
    python.append(
        {"Reference": ["reference/index.md", *map("reference/{}.md".format, public_names())]}
    )
    return config


def on_files(files: Any, config: Any) -> Any:
    """A page of the reference for each room, with every public name of it."""
    rooms = public_names()
    lines = [
        "# Reference\n",
        "Every public name, from its docstring; all come from `rtd_adapters`.\n",
    ]
    for room, names in rooms.items():
        listed = ", ".join(f"[`{name}`][rtd_adapters.{name}]" for name in names)
        lines.append(f"- [**{room}**]({room}.md): {listed}")
        page = f"# {room}\n\n" + "".join(f"::: rtd_adapters.{name}\n\n" for name in names)
        files.append(File.generated(config, f"reference/{room}.md", content=page))
    index = "\n".join(lines) + "\n"
    files.append(File.generated(config, "reference/index.md", content=index))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Take in what a page asks for, send links that leave docs/ to the repository, and show what
    blocks need."""
    source = DOCS / page.file.src_uri
    if page.file.src_uri in WIDE:
        page.meta["hide"] = ["toc"]
    markdown = WITH.sub(lambda match: _taken_in(source, match[1]), markdown)
    markdown = ROWS.sub(lambda match: _rows(source, *match.groups()), markdown)
    markdown = FLOW.sub(lambda match: _flow(match[1]), markdown)
    markdown = NEEDS.sub(r'<p class="needs">Needs \1</p>', markdown)
    return LINK.sub(lambda match: _sent(source, match, config.extra["repository"]), markdown)


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Refuse public names without a docstring, of which mkdocstrings shows the bare signature."""
    if page.file.src_uri.startswith("reference/"):
        for name, shown in re.findall(r'<h2 id="rtd_adapters\.(\w+)"((?:(?!<h2 ).)*)', html, re.S):
            if not DOCSTRING.search(shown):
                log.warning("the public name %s has no docstring", name)
    return html


def public_names() -> dict[str, list[str]]:
    """Room -> its public names, as `rtd_adapters/__init__.pyi` takes them from it."""
    rooms: dict[str, list[str]] = {}
    for node in ast.parse(STUB.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            names = rooms.setdefault(node.module.partition(".")[0], [])
            names += [alias.asname or alias.name for alias in node.names]
    return rooms


def _sent(source: Path, match: re.Match[str], repository: str) -> str:
    """A link of a page, to the repository if it leaves docs/."""
    before, target, after = match.groups()
    place = Path(os.path.normpath(source.parent / target))
    if re.match(r"[a-z]+:", target) or place.is_relative_to(DOCS):
        return match[0]  # MkDocs checks what stays
    if not place.is_relative_to(ROOT) or not place.exists():
        log.warning("%s links to %s, which is not there", source.relative_to(ROOT), target)
        return match[0]
    kind = "tree" if place.is_dir() else "blob"
    path = quote(place.relative_to(ROOT).as_posix())
    return f"{before}{repository.rstrip('/')}/{kind}/main/{path}{after}"


def _taken_in(source: Path, target: str) -> str:
    """Another page of the repository without its title, its sections a level deeper and its links
    from here."""
    other = source.parent / target

    def moved(match: re.Match[str]) -> str:
        before, link, after = match.groups()
        if re.match(r"[a-z]+:", link):
            return match[0]
        return before + os.path.relpath(other.parent / link, source.parent) + after

    text = re.sub(r"\A# .*\n", "", other.read_text(encoding="utf-8"))
    return LINK.sub(moved, re.sub(r"^(##+ )", r"#\1", text, flags=re.MULTILINE))


def _rows(source: Path, target: str, name: str | None) -> str:
    """The table of a page, or its head and the rows that begin with a name."""
    text = (source.parent / target).read_text(encoding="utf-8")
    head, line, *rows = [row for row in text.splitlines() if row.startswith("|")]
    kept = [row for row in rows if name is None or row.startswith(f"| {name} |")]
    if not kept:
        log.warning("%s: %s has no row of %s", source.relative_to(ROOT), target, name)
    return "\n".join((head, line, *kept))


def _flow(diagram: str) -> str:
    """A diagram's arrows as lines of words, for Mermaid would be fetched by the reader's browser.

    A line follows the first arrow that is on no line yet, until there is none.
    """
    named: dict[str, str] = {}
    after: dict[str, list[str]] = {}
    for line in diagram.splitlines():
        ends = []
        for end in line.strip().split(" --> "):
            key, _, words = end.rstrip("]").partition("[")
            named[key] = words or named.get(key, key)
            ends.append(key)
        after.setdefault(ends[0], []).append(ends[1])
    shown = []
    for start in after:
        while after[start]:
            path = [start]
            while after.get(path[-1]):
                path.append(after[path[-1]].pop(0))
            words = " &rarr; ".join(f"<span>{named[key]}</span>" for key in path)
            shown.append(f"<p>{words}</p>")
    return f'<div class="flow">{"".join(shown)}</div>'
