"""`rtd methods`: what is installed, from where, and what failed to load; and how to add one."""

from __future__ import annotations

import json
from pathlib import Path

import click

from rtd_adapters.cli.options import json_option
from rtd_adapters.registry import Registry, registry


@click.group(invoke_without_command=True)
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
    from rtd_adapters.files import require_new_folder
    from rtd_adapters.skeleton import write_skeleton

    require_new_folder(folder, overwrite=False)
    for path in write_skeleton(name, folder, frozenset(registry().methods)):
        click.echo(f"wrote {path}")
    click.echo(f"Next: pip install {folder} && rtd methods")


def _print(found: Registry, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_records(found), indent=2))
        return
    for name, method in sorted(found.methods.items()):
        origin = next(plugin for plugin in found.plugins if name in plugin.methods)
        click.echo(f"{click.style(name, bold=True)}  {method.summary}")
        click.echo(f"    from      {origin.distribution} ({origin.module})")
        click.echo(f"    layout    {method.layout}")
        click.echo(f"    prompt    {method.composed_prompt}")
        click.echo(f"    backbone  {'/'.join(method.backbone)}")
        click.echo(f"    checked   with {', '.join(method.checked_with) or 'nothing yet'}")
        click.echo(f"    patch in  by {', by '.join(method.injections)}")
        click.echo(f"    see       {method.reference_url}")
    for plugin in found.plugins:
        if plugin.error:
            click.echo(
                f"{click.style(plugin.name, bold=True)}  failed to load\n"
                f"    from      {plugin.distribution} ({plugin.module})\n"
                f"    why       {plugin.error}"
            )


def _records(found: Registry) -> dict[str, object]:
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
                "url": method.reference_url,
            }
            for name, method in sorted(found.methods.items())
        ],
        "plugins": [
            {
                "name": plugin.name,
                "distribution": plugin.distribution,
                "module": plugin.module,
                "methods": list(plugin.methods),
                "error": plugin.error,
            }
            for plugin in found.plugins
        ],
    }
