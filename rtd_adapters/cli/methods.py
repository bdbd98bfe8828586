"""`rtd methods`: what is installed, from where, and what failed to load."""

from __future__ import annotations

import json

import click

from rtd_adapters.cli.options import json_option
from rtd_adapters.registry import Registry, registry


@click.command()
@json_option
def methods(as_json: bool) -> None:
    """List the installed methods, their origin, and the plugins that failed to load.

    \b
    Example:
      rtd methods
    """
    found = registry()
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
