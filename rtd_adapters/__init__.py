"""rtd-adapters: text-encoder patches for zero-shot composed image retrieval.

Every public name is imported on first use, so that `import rtd_adapters` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtd_adapters.backbones import Backbone as Backbone
    from rtd_adapters.backbones import load_backbone as load_backbone
    from rtd_adapters.errors import RtdError as RtdError
    from rtd_adapters.hookspecs import hookimpl as hookimpl
    from rtd_adapters.methods import (
        BackboneShape as BackboneShape,
    )
    from rtd_adapters.methods import (
        ImageFeatures as ImageFeatures,
    )
    from rtd_adapters.methods import (
        Method as Method,
    )
    from rtd_adapters.methods import (
        Query as Query,
    )
    from rtd_adapters.methods import (
        Reference as Reference,
    )
    from rtd_adapters.patch import TextEncoderPatch as TextEncoderPatch
    from rtd_adapters.patch import apply as apply
    from rtd_adapters.patch.lora import LoRASettings as LoRASettings
    from rtd_adapters.patching import (
        PatchJob as PatchJob,
    )
    from rtd_adapters.patching import (
        PatchResult as PatchResult,
    )
    from rtd_adapters.patching import (
        run_patch as run_patch,
    )
    from rtd_adapters.registry import get_method as get_method
    from rtd_adapters.training import (
        RunOptions as RunOptions,
    )
    from rtd_adapters.training import (
        Trainer as Trainer,
    )
    from rtd_adapters.training import (
        TrainingSettings as TrainingSettings,
    )

_HOME = {
    "Backbone": "backbones",
    "BackboneShape": "methods",
    "ImageFeatures": "methods",
    "LoRASettings": "patch.lora",
    "Method": "methods",
    "PatchJob": "patching",
    "PatchResult": "patching",
    "Query": "methods",
    "Reference": "methods",
    "RtdError": "errors",
    "RunOptions": "training",
    "TextEncoderPatch": "patch",
    "Trainer": "training",
    "TrainingSettings": "training",
    "apply": "patch",
    "get_method": "registry",
    "hookimpl": "hookspecs",
    "load_backbone": "backbones",
    "run_patch": "patching",
}

__version__ = "0.1.0"
__all__ = [*sorted(_HOME), "__version__"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
