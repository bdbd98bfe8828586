"""The hooks a plugin may implement. Each has a section in docs/plugins.md and a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

Register = Callable[[Any], None]
"""Takes one thing of the hook's kind (`kinds`) into the registry, or raises `TypeError`."""

PROJECT = "rtd_adapters"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin's module as the hook of its name (`@hookimpl`)."""


@hookspec
def register_methods(register: Register) -> None:
    """Call `register(method)`, a `Method`, for every retrieval method that the plugin adds."""


@hookspec
def register_backbones(register: Register) -> None:
    """Call `register(source)`, a `BackboneSource`, for every backbone the plugin brings."""


@hookspec
def register_benchmarks(register: Register) -> None:
    """Call `register(source)`, a `BenchmarkSource`, for every benchmark the plugin reads."""


@hookspec
def register_exporters(register: Register) -> None:
    """Call `register(exporter)`, an `Exporter`, for every repository the plugin writes for."""


@hookspec
def register_commands(cli: click.Group) -> None:
    """Add commands to the `rtd` group, as in `@cli.command()`."""
