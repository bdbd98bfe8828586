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
    from rtd_adapters import hookspecs

    page = text_of(DOCS / "plugins.md")
    for name, hook in vars(hookspecs).items():
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


def test_the_readmes_options_exist():
    from rtd_adapters.cli.reference import reference

    known = set(re.findall(r"--[a-z][a-z-]+", reference()))
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text_of(ROOT / "README.md")))
    assert used <= known | {"--editable"}


@pytest.mark.parametrize(
    "page", [*sorted(DOCS.glob("*.md")), ROOT / "README.md"], ids=lambda p: p.name
)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text_of(page)):
        if not target.startswith(("http", "mailto")):
            assert (page.parent / target).exists(), target
