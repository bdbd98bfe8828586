"""All help texts as one page: `python -m rtd_adapters.cli.reference > docs/cli.md`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from rtd_adapters.cli import COMMANDS, cli

WIDTH = 100


def reference() -> str:
    """Markdown with the help of `rtd` and of every built-in command."""
    parts = ["# Command line\n\nMade by `python -m rtd_adapters.cli.reference > docs/cli.md`.\n"]
    root = _context(cli, None, "rtd")
    parts += [_section(root)]
    for name in sorted(COMMANDS):
        command = cli.get_command(root, name)
        assert command is not None
        parts += map(_section, _contexts(command, root, name))
    return "\n".join(parts)


def _contexts(command: click.Command, parent: click.Context, name: str) -> Iterator[click.Context]:
    context = _context(command, parent, name)
    yield context
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            subcommand = command.get_command(context, inner)
            assert subcommand is not None
            yield from _contexts(subcommand, context, inner)


def _context(command: click.Command, parent: click.Context | None, name: str) -> click.Context:
    settings = {"terminal_width": WIDTH, "max_content_width": WIDTH, **command.context_settings}
    return click.Context(command, parent=parent, info_name=name, **settings)


def _section(context: click.Context) -> str:
    text = context.command.get_help(context)
    return f"## {context.command_path}\n\n```\n{text.rstrip()}\n```\n"


if __name__ == "__main__":
    print(reference(), end="")
