"""`rtd methods`: what is installed, from where, and what failed to load; and how to add one."""

from __future__ import annotations

from pathlib import Path

import click

from rtd_adapters.cli.options import json_option
from rtd_adapters.cli.plugins import echo_failures, records
from rtd_adapters.cli.terminal import echo, echo_json
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
        echo(f"wrote {path}")
    echo("Next:")
    for command in next_commands(name, folder):
        echo(f"  {command}")


def _print(installed: Registry, as_json: bool) -> None:
    if as_json:
        echo_json(_records(installed))
        return
    for name, method in sorted(installed.methods.items()):
        echo(f"  {method.summary}", heading=name)
        echo(f"    from      {installed.owners['method', name]}")
        echo(f"    layout    {method.layout}")
        echo(f"    prompt    {method.composed_prompt}")
        echo(f"    backbone  {'/'.join(method.backbone)}")
        echo(f"    checked   with {', '.join(method.checked_with) or 'nothing yet'}")
        echo(f"    patch in  by {', by '.join(method.injections)}")
        if training := method.projection_training:
            echo(f"    trained   from {training.learns_from}, by rtd projection train")
        for option, about in method.options.items():
            default = f" [{about.default}]" if about.default else ""
            echo(f"    option    {option}: {about.help}{default}")
        echo(f"    see       {method.reference_url}")
    echo_failures(installed)


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
                "projection_learns_from": training.learns_from
                if (training := method.projection_training)
                else None,
                "options": {option: about.help for option, about in method.options.items()},
                "url": method.reference_url,
            }
            for name, method in sorted(installed.methods.items())
        ],
        "plugins": records(installed),
    }
