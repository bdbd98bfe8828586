"""`rtd plugins`: what each installed plugin adds, and what failed to load."""

from __future__ import annotations

import click

from rtd_adapters.cli.options import json_option
from rtd_adapters.cli.terminal import echo, echo_json
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
        echo_json(records(installed))
        return
    for plugin in installed.plugins:
        if plugin.error:
            continue
        echo(f"  {plugin.distribution}", heading=plugin.name)
        for noun, names in plugin.provides.items():
            for name in names:
                about = getattr(installed.things[noun][name], "summary", "")
                echo(f"    {noun:<10}{name:<26}{about}".rstrip())
    echo_failures(installed)


def echo_failures(installed: Registry) -> None:
    """Print the plugins that failed to load."""
    for plugin in installed.plugins:
        if plugin.error:
            echo(
                "  failed to load",
                f"    from      {plugin.distribution} ({plugin.module})",
                f"    why       {plugin.error}",
                heading=plugin.name,
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
