"""What is installed in this environment, by name."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import entry_points

from rtd_adapters.hooks.loading import load_registry
from rtd_adapters.hooks.plugins import Registry

GROUP = "rtd_adapters"


@lru_cache(maxsize=1)
def registry() -> Registry:
    """The registry of this environment, built once."""
    return load_registry(entry_points(group=GROUP))
