"""The methods that are installed."""

from __future__ import annotations

from collections.abc import Mapping

from rtd_adapters.hooks.kinds import METHOD
from rtd_adapters.hooks.registry import registry
from rtd_adapters.methods.method import Method


def installed_methods() -> Mapping[str, Method]:
    """All of them, by name."""
    return registry().methods


def get_method(name: str) -> Method:
    """The installed method of that name.

    Raises:
        UsageError: there is none, and the message suggests the nearest.
    """
    method: Method = registry().find(METHOD, name)
    return method
