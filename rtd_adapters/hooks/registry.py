"""What is installed in this environment, by name."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from rtd_adapters.hooks.kinds import BENCHMARK, EXPORTER, METHOD
from rtd_adapters.hooks.loading import load_registry
from rtd_adapters.hooks.plugins import Registry

if TYPE_CHECKING:
    from rtd_adapters.clip.sources import BackboneSource
    from rtd_adapters.evaluation.benchmark import BenchmarkSource
    from rtd_adapters.export.exporter import Exporter
    from rtd_adapters.methods.method import Method

GROUP = "rtd_adapters"


@lru_cache(maxsize=1)
def registry() -> Registry:
    """The registry of this environment, built once."""
    return load_registry(entry_points(group=GROUP))


def get_method(name: str) -> Method:
    """The installed method of that name; raises `UsageError` with the nearest name otherwise."""
    return cast("Method", registry().find(METHOD, name))


def get_benchmark(name: str) -> BenchmarkSource:
    """The installed benchmark of that name; raises `UsageError` likewise."""
    return cast("BenchmarkSource", registry().find(BENCHMARK, name))


def get_exporter(name: str) -> Exporter:
    """The installed exporter of that name; raises `UsageError` likewise."""
    return cast("Exporter", registry().find(EXPORTER, name))


def backbone_source(name: str) -> BackboneSource | None:
    """The backbone that a plugin brings under that name, if any."""
    return registry().backbones.get(name)
