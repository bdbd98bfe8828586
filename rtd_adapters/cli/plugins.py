"""`rtd plugins`: what each installed plugin adds, and what failed to load."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click

from rtd_adapters.cli.options import json_option
from rtd_adapters.hooks.plugins import Registry
from rtd_adapters.hooks.registry import registry


@click.command()
@json_option
def plugins(as_json: bool) -> None:
    """List the installed plugins: the methods, backbones, benchmarks and exporters that each adds.

    \b
    Example:
      rtd plugins
    """
    installed = registry()
    if as_json:
        click.echo(json.dumps(records(installed), indent=2))
        return
    for plugin in installed.plugins:
        if plugin.error:
            continue
        click.echo(f"{click.style(plugin.name, bold=True)}  {plugin.distribution}")
        for noun, names in plugin.provides.items():
            for name in names:
                about = getattr(installed.things[noun][name], "summary", "")
                click.echo(f"    {noun:<10}{name:<26}{about}".rstrip())
    for line in failures(installed):
        click.echo(line)


def failures(installed: Registry) -> Iterator[str]:
    """What to print of the plugins that failed to load."""
    for plugin in installed.plugins:
        if plugin.error:
            yield (
                f"{click.style(plugin.name, bold=True)}  failed to load\n"
                f"    from      {plugin.distribution} ({plugin.module})\n"
                f"    why       {plugin.error}"
            )


def records(installed: Registry) -> list[dict[str, object]]:
    """The plugins as plain values."""
    return [
        {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "module": plugin.module,
            "provides": {noun: list(names) for noun, names in plugin.provides.items()},
            "error": plugin.error,
        }
        for plugin in installed.plugins
    ]
