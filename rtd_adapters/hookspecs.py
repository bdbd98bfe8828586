"""The hooks a plugin may implement. Each has a section in docs/plugins.md and a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from rtd_adapters.methods import Method

PROJECT = "rtd_adapters"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_methods(register: Callable[[Method], None]) -> None:
    """Call `register(method)` once for every composed-image-retrieval method the plugin adds."""


@hookspec
def register_commands(cli: click.Group) -> None:
    """Add commands to the `rtd` group, as in `@cli.command()`."""
