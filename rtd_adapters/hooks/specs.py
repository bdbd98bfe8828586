"""The hooks a plugin may implement. Each has a section in docs/plugins.md and a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from rtd_adapters.clip.sources import BackboneSource
    from rtd_adapters.evaluation.benchmark import BenchmarkSource
    from rtd_adapters.export.exporter import Exporter
    from rtd_adapters.methods.method import Method

PROJECT = "rtd_adapters"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_methods(register: Callable[[Method], None]) -> None:
    """Call `register(method)` once for every composed-image-retrieval method the plugin adds."""


@hookspec
def register_backbones(register: Callable[[BackboneSource], None]) -> None:
    """Call `register(source)` once for every backbone the plugin brings with its weights."""


@hookspec
def register_benchmarks(register: Callable[[BenchmarkSource], None]) -> None:
    """Call `register(source)` once for every benchmark that `rtd eval` can read by the plugin."""


@hookspec
def register_exporters(register: Callable[[Exporter], None]) -> None:
    """Call `register(exporter)` once for every repository that `rtd export` can write for."""


@hookspec
def register_commands(cli: click.Group) -> None:
    """Add commands to the `rtd` group, as in `@cli.command()`."""
