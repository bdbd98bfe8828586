"""The docs say what the program does: help texts, hooks, the README's commands."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_the_command_line_reference_is_up_to_date():
    from rtd_adapters.cli.reference import reference

    assert text_of(DOCS / "cli.md") == reference(), (
        "python -m rtd_adapters.cli.reference > docs/cli.md"
    )


def test_every_option_has_a_help_text():
    import click

    from rtd_adapters.cli import COMMANDS, cli

    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"rtd {name} {parameter.opts[0]}"
        assert "rtd " in command.help, f"rtd {name} has no example"


def test_every_hook_is_documented_with_its_arguments():
    from rtd_adapters.hooks import specs

    page = text_of(DOCS / "plugins.md")
    for name, hook in vars(specs).items():
        if name.startswith("register_"):
            arguments = ", ".join(inspect.signature(hook).parameters)
            assert f"### `{name}({arguments})`" in page


def test_every_public_name_has_a_docstring():
    import rtd_adapters

    for name in rtd_adapters.__all__:
        if not name.startswith("__"):
            assert getattr(rtd_adapters, name).__doc__ or name == "hookimpl"


def test_ci_runs_the_readmes_own_test_command():
    command = "pip install '.[test]' && pytest"
    assert command in text_of(ROOT / "README.md")
    assert command in text_of(ROOT / ".ci" / "run")


def test_contributors_run_what_ci_runs():
    blocks = [
        line.strip()
        for line in text_of(ROOT / "CONTRIBUTING.md").splitlines()
        if line.startswith("    ")
    ]
    checks = [
        line
        for line in text_of(ROOT / ".ci" / "run").splitlines()
        if line.startswith(("ruff", "mypy", "lint-imports", ".ci/"))
    ]
    assert len(checks) == 5
    assert set(checks) | {"pip install '.[test]' && pytest"} <= set(blocks)


def test_contributors_are_sent_to_places_that_exist():
    places = re.findall(r"`([\w.]+/[\w./]*)`", text_of(ROOT / "CONTRIBUTING.md"))
    assert places
    for place in places:
        assert (ROOT / place).exists(), place


def test_the_readmes_options_exist():
    from rtd_adapters.cli.reference import reference

    known = set(re.findall(r"--[a-z][a-z-]+", reference()))
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text_of(ROOT / "README.md")))
    assert used <= known | {"--editable"}


@pytest.mark.parametrize(
    "page",
    [
        *sorted(DOCS.glob("*.md")),
        *sorted((ROOT / "examples").rglob("*.md")),
        *sorted(ROOT.glob("*.md")),
    ],
    ids=lambda p: p.name,
)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text_of(page)):
        if not target.startswith(("http", "mailto")):
            assert (page.parent / target).exists(), target


def commands_in(page: Path) -> list[list[str]]:
    """The `rtd` command lines of a page's indented blocks, as words."""
    import shlex

    block = "\n".join(line for line in text_of(page).splitlines() if line.startswith("    "))
    lines = block.replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.split()[:1] == ["rtd"]]


EXAMPLES = sorted((ROOT / "examples").glob("*/README.md"))


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda p: p.parent.name)
def test_commands_of_the_examples_parse(page):
    import click

    from rtd_adapters.cli import cli

    found = commands_in(page)
    assert found
    for words in found:
        command, context = cli, click.Context(cli)
        while isinstance(command, click.Group) and words:
            command = command.get_command(context, words.pop(0))
            assert command is not None, page
        command.make_context("rtd", words)
