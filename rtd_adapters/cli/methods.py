"""`rtd methods`: what is installed, from where, and what failed to load; and how to add one."""

from __future__ import annotations

import json
from pathlib import Path

import click

from rtd_adapters.cli.options import json_option
from rtd_adapters.cli.plugins import failures, records
from rtd_adapters.hooks.plugins import Registry
from rtd_adapters.hooks.registry import registry


@click.group(invoke_without_command=True, subcommand_metavar="[COMMAND] [ARGS]...")
@json_option
@click.pass_context
def methods(context: click.Context, as_json: bool) -> None:
    """List the installed methods, their origin, and the plugins that failed to load.

    \b
    Example:
      rtd methods
    """
    if context.invoked_subcommand is None:
        _print(registry(), as_json)


@methods.command()
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path))
def new(name: str, folder: Path) -> None:
    """Write the skeleton of a plugin that adds the method NAME into FOLDER.

    It installs, lists and patches as it stands; docs/plugins.md walks through it.

    \b
    Example:
      rtd methods new mymethod rtd-mymethod
    """
    from rtd_adapters.io.atomic import require_new_folder
    from rtd_adapters.methods.skeleton import next_commands, write_skeleton

    require_new_folder(folder, overwrite=False)
    for path in write_skeleton(name, folder, frozenset(registry().methods)):
        click.echo(f"wrote {path}")
    click.echo("Next:")
    for command in next_commands(name, folder):
        click.echo(f"  {command}")


def _print(installed: Registry, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_records(installed), indent=2))
        return
    for name, method in sorted(installed.methods.items()):
        click.echo(f"{click.style(name, bold=True)}  {method.summary}")
        click.echo(f"    from      {installed.owners['method', name]}")
        click.echo(f"    layout    {method.layout}")
        click.echo(f"    prompt    {method.composed_prompt}")
        click.echo(f"    backbone  {'/'.join(method.backbone)}")
        click.echo(f"    checked   with {', '.join(method.checked_with) or 'nothing yet'}")
        click.echo(f"    patch in  by {', by '.join(method.injections)}")
        for option, about in method.options.items():
            default = f" [{about.default}]" if about.default else ""
            click.echo(f"    option    {option}: {about.help}{default}")
        click.echo(f"    see       {method.reference_url}")
    for line in failures(installed):
        click.echo(line)


def _records(installed: Registry) -> dict[str, object]:
    return {
        "methods": [
            {
                "name": name,
                "summary": method.summary,
                "layout": method.layout,
                "composed_prompt": method.composed_prompt,
                "bare_prompt": method.bare_prompt,
                "placeholder": method.placeholder,
                "backbone": "/".join(method.backbone),
                "checked_with": list(method.checked_with),
                "injections": list(method.injections),
                "options": {option: about.help for option, about in method.options.items()},
                "url": method.reference_url,
            }
            for name, method in sorted(installed.methods.items())
        ],
        "plugins": records(installed),
    }
