"""Finds plugins by entry point, one at a time, so that a broken one never takes the rest down."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

import click
import pluggy

from rtd_adapters import hookspecs
from rtd_adapters.errors import UsageError
from rtd_adapters.methods import Method

GROUP = "rtd_adapters"


@dataclass(frozen=True)
class Plugin:
    """One entry point of the group, loaded or not."""

    name: str
    distribution: str
    module: str
    methods: tuple[str, ...] = ()
    error: str | None = None


@dataclass
class Registry:
    """The plugins of this environment and the methods they registered."""

    manager: pluggy.PluginManager
    plugins: list[Plugin] = field(default_factory=list)
    methods: dict[str, Method] = field(default_factory=dict)
    contested: dict[str, str] = field(default_factory=dict)
    """Method names that two distributions claim -> the sentence that says so."""

    def add_commands(self, cli: click.Group) -> None:
        """Let every plugin add its commands to the `rtd` group; a failing one is noted."""
        for index, plugin in enumerate(self.plugins):
            module = self.manager.get_plugin(_key(plugin.distribution, plugin.name))
            if module is None or plugin.error:
                continue
            others = [other for other in self.manager.get_plugins() if other is not module]
            try:
                self.manager.subset_hook_caller("register_commands", others)(cli=cli)
            except Exception as error:
                if _strict():
                    raise
                self.plugins[index] = replace(plugin, error=f"{type(error).__name__}: {error}")

    def method(self, name: str) -> Method:
        """The method of that name.

        Raises:
            UsageError: there is none, and the message suggests the nearest; or there are two, and
                it names both distributions.
        """
        if name in self.contested:
            raise UsageError(self.contested[name])
        if name in self.methods:
            return self.methods[name]
        nearest = difflib.get_close_matches(name, self.methods, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        installed = ", ".join(sorted(self.methods)) or "none"
        broken = [plugin.name for plugin in self.plugins if plugin.error]
        failed = f" Failed to load: {', '.join(broken)} (see `rtd methods`)." if broken else ""
        raise UsageError(f"Unknown method {name!r}.{hint} Installed: {installed}.{failed}")


def load_registry(found: Iterable[EntryPoint]) -> Registry:
    """Load entry points into a registry; failures are kept as text in `Plugin.error`.

    `RTD_STRICT_PLUGINS=1` re-raises the first failure with its traceback, for plugin authors.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    registry = Registry(manager)
    origin: dict[str, str] = {}
    for entry in sorted(found, key=lambda entry: (entry.name, _distribution(entry))):
        registry.plugins.append(_load(entry, registry, origin))
    return registry


@lru_cache(maxsize=1)
def registry() -> Registry:
    """The registry of this environment, built once."""
    return load_registry(entry_points(group=GROUP))


def get_method(name: str) -> Method:
    """The installed method of that name; raises `UsageError` with the nearest name otherwise."""
    return registry().method(name)


def _load(entry: EntryPoint, registry: Registry, origin: dict[str, str]) -> Plugin:
    distribution = _distribution(entry)
    try:
        methods = _register(entry, registry, origin, distribution)
    except Exception as error:
        if _strict():
            raise
        reason = f"{type(error).__name__}: {error}"
        return Plugin(entry.name, distribution, entry.value, error=reason)
    return Plugin(entry.name, distribution, entry.value, methods)


def _register(
    entry: EntryPoint, registry: Registry, origin: dict[str, str], distribution: str
) -> tuple[str, ...]:
    module = entry.load()
    name = _key(distribution, entry.name)
    if registry.manager.has_plugin(name) or registry.manager.is_registered(module):
        raise ValueError(f"{distribution} names {entry.value} twice; keep one entry point")
    registry.manager.register(module, name=name)
    try:
        registry.manager.check_pending()
        methods = _collect(registry, module, origin, distribution)
    except Exception:
        registry.manager.unregister(module)
        raise
    registry.methods.update(methods)
    origin.update(dict.fromkeys(methods, distribution))
    return tuple(methods)


def _collect(
    registry: Registry, module: object, origin: dict[str, str], distribution: str
) -> dict[str, Method]:
    manager = registry.manager
    methods: dict[str, Method] = {}

    def register(method: Method) -> None:
        if not isinstance(method, Method):
            raise TypeError(f"register() takes a Method object, not {method!r}")
        missing = [
            name
            for name in ("name", "summary", "reference_url", "layout")
            if not isinstance(getattr(method, name, None), str)
        ]
        if missing:
            raise TypeError(f"{type(method).__name__} does not set {', '.join(missing)}")
        owner = origin.get(method.name, distribution if method.name in methods else None)
        if owner is not None:
            registry.contested[method.name] = (
                f"Method {method.name!r} comes from both {owner} and {distribution}. "
                "Uninstall one of them."
            )
            raise ValueError(registry.contested[method.name])
        methods[method.name] = method

    others = [plugin for plugin in manager.get_plugins() if plugin is not module]
    manager.subset_hook_caller("register_methods", others)(register=register)
    return methods


def _key(distribution: str, name: str) -> str:
    return f"{distribution}:{name}"


def _strict() -> bool:
    return os.environ.get("RTD_STRICT_PLUGINS") == "1"


def _distribution(entry: EntryPoint) -> str:
    if entry.dist is None:
        return "unknown distribution"
    return f"{entry.dist.name} {entry.dist.version}"
