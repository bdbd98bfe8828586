"""rtd-adapters: text-encoder patches for zero-shot composed image retrieval.

Every public name is imported on first use, so that `import rtd_adapters` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtd_adapters.errors import RtdError
    from rtd_adapters.hookspecs import hookimpl
    from rtd_adapters.methods import BackboneShape, ImageFeatures, Method, Query, Reference
    from rtd_adapters.registry import get_method

_HOME = {
    "BackboneShape": "methods",
    "ImageFeatures": "methods",
    "Method": "methods",
    "Query": "methods",
    "Reference": "methods",
    "RtdError": "errors",
    "get_method": "registry",
    "hookimpl": "hookspecs",
}

__version__ = "0.1.0"
__all__ = [*sorted(_HOME), "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
