"""Loads plugins by entry point, one at a time, so that a broken one never takes the rest down."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint
from typing import Any

import pluggy

from rtd_adapters.hooks import specs
from rtd_adapters.hooks.kinds import KINDS, Kind
from rtd_adapters.hooks.plugins import Plugin, Registry, strict


def load_registry(entries: Iterable[EntryPoint]) -> Registry:
    """Load entry points into a registry; failures are kept as text in `Plugin.error`.

    `RTD_STRICT_PLUGINS=1` re-raises the first failure with its traceback, for plugin authors.
    """
    manager = pluggy.PluginManager(specs.PROJECT)
    manager.add_hookspecs(specs)
    registry = Registry(manager)
    for entry in sorted(entries, key=lambda entry: (entry.name, _distribution(entry))):
        registry.plugins.append(_load(entry, registry))
    return registry


def _load(entry: EntryPoint, registry: Registry) -> Plugin:
    plugin = Plugin(entry.name, _distribution(entry), entry.value)
    try:
        things = _register(entry, plugin, registry)
    except Exception as error:
        if strict():
            raise
        reason = f"{type(error).__name__}: {error}"
        return Plugin(plugin.name, plugin.distribution, plugin.module, error=reason)
    provides = {noun: tuple(named) for noun, named in things.items() if named}
    return Plugin(plugin.name, plugin.distribution, plugin.module, provides)


def _register(entry: EntryPoint, plugin: Plugin, registry: Registry) -> dict[str, dict[str, Any]]:
    """Load a plugin's module and take in what it registers: all of it or, on failure, nothing."""
    module, manager = entry.load(), registry.manager
    if manager.has_plugin(plugin.key) or manager.is_registered(module):
        raise ValueError(f"{plugin.distribution} names {entry.value} twice; keep one entry point")
    manager.register(module, name=plugin.key)
    try:
        manager.check_pending()
        things = {kind.noun: _collect(kind, module, plugin, registry) for kind in KINDS}
    except Exception:
        manager.unregister(module)
        raise
    for noun, named in things.items():
        registry.things[noun].update(named)
        registry.owners.update({(noun, name): plugin.distribution for name in named})
    return things


def _collect(kind: Kind, module: object, plugin: Plugin, registry: Registry) -> dict[str, Any]:
    """What a module registers of a kind, by name."""
    named: dict[str, Any] = {}

    def register(thing: Any) -> None:
        kind.require_whole(thing)
        own = plugin.distribution if thing.name in named else None
        owner = registry.owners.get((kind.noun, thing.name), own)
        if owner is not None:
            sentence = (
                f"{kind.noun.capitalize()} {thing.name!r} comes from both {owner} and "
                f"{plugin.distribution}. Uninstall one of them."
            )
            registry.contested[kind.noun, thing.name] = sentence
            raise ValueError(sentence)
        named[thing.name] = thing

    others = [other for other in registry.manager.get_plugins() if other is not module]
    registry.manager.subset_hook_caller(kind.hook, others)(register=register)
    return named


def _distribution(entry: EntryPoint) -> str:
    if entry.dist is None:
        return "unknown distribution"
    return f"{entry.dist.name} {entry.dist.version}"
