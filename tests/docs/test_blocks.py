"""Every block of README and docs is run, here or by the test that its mark names, or its mark says
what it needs that no test has."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BY_COMMAND = DOCS / "cli.md"  # made of the help texts, which tests/cli/test_docs.py compares
BY_ITS_OWN_TEST = DOCS / "api.md"  # tests/test_api_page.py
WRITTEN = ROOT / "examples" / "custom_plugin" / "README.md"  # by `rtd methods new`
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(DOCS.rglob("*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
]
PAGES.remove(BY_COMMAND)
PAGES.remove(WRITTEN)
COMMANDS = {"rtd", "python", "pip", "pytest", "torchrun", "mkdocs", "export", "ruff", "cd"}
DATA = {"json", "toml", "yaml", "text", "mermaid"}
MARK = re.compile(r"<!-- (run|needs): ([^;]+)(?:; needs: [^;]+)? -->")


@dataclass(frozen=True)
class Block:
    """A block of a page."""

    page: Path
    line: int
    """That it begins on."""
    language: str
    """Of its fence; none of an indented block."""
    code: str
    mark: str
    """`run` or `needs`, if there is one."""
    about: str
    """What the mark says."""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def kind(self) -> str:
        """`python`, `shell` or `data`."""
        first = self.code.split(None, 1)[0] if self.code.strip() else ""
        if self.language:
            return {"python": "python", "bash": "shell", "console": "shell"}.get(
                self.language, "data"
            )
        if first in {"from", "import"}:
            return "python"
        if first in COMMANDS or self.code.startswith("$ "):
            return "shell"
        return "data"


def blocks_of(page: Path) -> Iterator[Block]:
    lines = page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        start, line = number, lines[number]
        number += 1
        if line.startswith("```"):
            while not lines[number].startswith("```"):
                number += 1
            inside, language = lines[start + 1 : number], line.strip("`").strip()
            number += 1
        elif line.startswith("    ") and not lines[start - 1].strip():
            while number < len(lines) and (lines[number][:4] in ("    ", "")):
                number += 1
            inside, language = lines[start:number], ""
        else:
            continue
        above = next((text for text in reversed(lines[:start]) if text.strip()), "")
        mark = MARK.fullmatch(above)
        code = textwrap.dedent("\n".join(inside)).strip("\n") + "\n"
        yield Block(page, start + 1, language, code, *(mark.groups() if mark else ("", "")))


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def command_lines(block: Block) -> Iterator[list[str]]:
    """The words of each command line of a shell block; a transcript's lines begin with `$ `."""
    lines = block.code.replace("\\\n", " ").splitlines()
    if any(line.startswith("$ ") for line in lines):
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    for line in lines:
        for words in re.split(r" && ", line):
            yield shlex.split(words, comments=True)


def rtd_lines() -> list:
    return [
        pytest.param(words[1:], id=f"{block}-{place}")
        for block in BLOCKS
        if block.kind == "shell"
        for place, words in enumerate(command_lines(block))
        if words[:1] == ["rtd"]
    ]


def test_blocks_are_found():
    kinds = [block.kind for block in BLOCKS]
    assert kinds.count("python") > 40 and kinds.count("shell") > 20
    assert {block.language for block in BLOCKS if block.kind == "data"} <= DATA | {""}


def test_each_block_of_commands_is_run_by_a_test_or_marked():
    bare = [str(block) for block in BLOCKS if block.kind == "shell" and not block.mark]
    assert not bare, "put <!-- run: tests/... --> or <!-- needs: ... --> above it"


def test_tests_that_marks_name_are_there_and_run_the_command():
    for block in BLOCKS:
        if block.mark != "run":
            continue
        tests = [ROOT / name for name in block.about.split(", ")]
        assert all(test.is_file() for test in tests), f"{block}: {block.about}"
        sources = "".join(test.read_text(encoding="utf-8") for test in tests)
        for words in command_lines(block) if block.kind == "shell" else ():
            for name in subcommands(words):
                assert re.search(rf"\b{name}\b", sources), f"{block}: {name}"


def subcommands(words: list[str]) -> list[str]:
    """Of a command line of rtd: `triplets` and `check`, say."""
    import click

    from rtd_adapters.cli import cli

    command, names = cli, []
    for word in words[1:] if words[0] == "rtd" else ():
        if not isinstance(command, click.Group):
            break
        command = command.get_command(click.Context(cli), word)
        names.append(word)
    return names


@pytest.mark.parametrize("words", rtd_lines())
def test_each_rtd_command_parses(words, monkeypatch):
    import click

    from rtd_adapters.cli import cli, options

    # A name on the Hub is fetched while a command line is read; here it is a path like any other.
    as_path = click.Path(path_type=Path)
    monkeypatch.setattr(options.FileOrHub, "convert", lambda _, *given: as_path.convert(*given))
    context = click.Context(cli, **cli.context_settings)
    command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        assert found is not None, words[0]
        command, words = found, words[1:]
    if "..." in words:  # an excerpt
        options = {opt for param in command.params for opt in (*param.opts, *param.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= options
    else:
        command.make_context("rtd", words, parent=context)


def python_pages() -> list:
    pages = {block.page for block in BLOCKS if block.kind == "python" and not block.mark}
    return sorted(pages - {BY_ITS_OWN_TEST})


@pytest.fixture(scope="module")
def patch_file(tmp_path_factory):
    """A patch of two steps in the built-in world."""
    from rtd_adapters import PatchJob, RunOptions, TrainingSettings, run_patch

    out = tmp_path_factory.mktemp("patch") / "weights.safetensors"
    few = TrainingSettings(steps=2, batch_size=8, learning_rate=3e-3)
    run_patch(PatchJob("searle", out, settings=few, options=RunOptions(quiet=True)))
    return out


def world(backbone) -> dict[str, object]:
    """What pages speak of without making it: a fresh model, and pictures and captions for it."""
    import copy

    import torch
    from PIL import Image

    from rtd_adapters import Tokenizer

    tokenizer = Tokenizer(backbone.tower.config.context_length, placeholder="$")
    return {
        "model": copy.deepcopy(backbone.model),
        "pictures": torch.stack([backbone.preprocess(Image.new("RGB", (64, 64), "red"))]),
        "captions": tokenizer.encode(["a red circle"]),
    }


@pytest.mark.parametrize("page", python_pages(), ids=lambda page: page.stem)
def test_python_runs(page, patch_file, tmp_path, monkeypatch):
    """All blocks of a page, one after another in one program; each with a fresh model."""
    import shutil

    from rtd_adapters import load_backbone

    monkeypatch.chdir(tmp_path)
    shutil.copy(patch_file, tmp_path / "weights.safetensors")
    backbone, program = load_backbone(), {"__name__": "page", "pytest": pytest}
    for block in blocks_of(page):
        if block.kind == "python" and not block.mark:
            program |= world(backbone)
            place = str(block.page.relative_to(ROOT))
            exec(compile("\n" * block.line + block.code, place, "exec"), program)
