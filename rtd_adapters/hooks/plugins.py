"""Plugins, and what they registered or why they failed."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pluggy

from rtd_adapters.errors import UsageError
from rtd_adapters.hooks.kinds import BACKBONE, BENCHMARK, EXPORTER, KINDS, METHOD, Kind

if TYPE_CHECKING:
    import click


@dataclass(frozen=True)
class Plugin:
    """One entry point of the group, loaded or not."""

    name: str
    distribution: str
    module: str
    provides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Noun of a kind -> names of what the plugin registered of it."""
    error: str | None = None

    @property
    def key(self) -> str:
        """Its name in the plugin manager: two distributions may use one entry point's name."""
        return f"{self.distribution}:{self.name}"


@dataclass
class Registry:
    """A set of plugins and what they registered."""

    manager: pluggy.PluginManager
    plugins: list[Plugin] = field(default_factory=list)
    things: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {kind.noun: {} for kind in KINDS}
    )
    """Noun of a kind -> name -> what was registered."""
    owners: dict[tuple[str, str], str] = field(default_factory=dict)
    """(noun, name) -> the distribution that registered it."""
    contested: dict[tuple[str, str], str] = field(default_factory=dict)
    """(noun, name) that two distributions claim -> the sentence that says so."""

    @property
    def methods(self) -> Mapping[str, Any]:
        """The methods by name."""
        return self.things[METHOD.noun]

    @property
    def backbones(self) -> Mapping[str, Any]:
        """The backbones that plugins bring, by name."""
        return self.things[BACKBONE.noun]

    @property
    def benchmarks(self) -> Mapping[str, Any]:
        """The benchmarks by name."""
        return self.things[BENCHMARK.noun]

    @property
    def exporters(self) -> Mapping[str, Any]:
        """The exporters by name."""
        return self.things[EXPORTER.noun]

    def add_commands(self, cli: click.Group) -> None:
        """Let every plugin add its commands to the `rtd` group; a failing one is noted."""
        for index, plugin in enumerate(self.plugins):
            module = self.manager.get_plugin(plugin.key)
            if module is None or plugin.error:
                continue
            others = [other for other in self.manager.get_plugins() if other is not module]
            try:
                self.manager.subset_hook_caller("register_commands", others)(cli=cli)
            except Exception as error:
                if strict():
                    raise
                self.plugins[index] = replace(plugin, error=f"{type(error).__name__}: {error}")

    def find(self, kind: Kind, name: str) -> Any:
        """What was registered under a name.

        Raises:
            UsageError: nothing was, and the message suggests the nearest; or two distributions
                claim the name, and it names both.
        """
        if (kind.noun, name) in self.contested:
            raise UsageError(self.contested[kind.noun, name])
        known = self.things[kind.noun]
        if name in known:
            return known[name]
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        installed = ", ".join(sorted(known)) or "none"
        broken = [plugin.name for plugin in self.plugins if plugin.error]
        failed = f" Failed to load: {', '.join(broken)} (see `rtd plugins`)." if broken else ""
        raise UsageError(f"Unknown {kind.noun} {name!r}.{hint} Installed: {installed}.{failed}")


def strict() -> bool:
    """Whether a plugin's failure is raised with its traceback, for those who write plugins."""
    return os.environ.get("RTD_STRICT_PLUGINS") == "1"
