"""rtd-adapters: text-encoder patches for zero-shot composed image retrieval.

Every public name is imported on first use, so that `import rtd_adapters` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtd_adapters.backbones import Backbone as Backbone, load_backbone as load_backbone
    from rtd_adapters.checkpoints import read_checkpoint as read_checkpoint
    from rtd_adapters.errors import RtdError as RtdError
    from rtd_adapters.evaluation.evaluate import EvalOptions as EvalOptions, evaluate as evaluate
    from rtd_adapters.evaluation.result import Result as Result
    from rtd_adapters.hookspecs import hookimpl as hookimpl
    from rtd_adapters.methods import (
        BackboneShape as BackboneShape,
        ImageFeatures as ImageFeatures,
        Method as Method,
        Query as Query,
        Reference as Reference,
    )
    from rtd_adapters.patch import TextEncoderPatch as TextEncoderPatch, apply as apply
    from rtd_adapters.patch.lora import LoRASettings as LoRASettings
    from rtd_adapters.patching import (
        PatchJob as PatchJob,
        PatchResult as PatchResult,
        run_patch as run_patch,
    )
    from rtd_adapters.pickled_modules import read_pickled_module as read_pickled_module
    from rtd_adapters.projections import (
        fill_projection as fill_projection,
        tensors_under as tensors_under,
    )
    from rtd_adapters.registry import get_method as get_method
    from rtd_adapters.surrogates import (
        caption_states as caption_states,
        token_states as token_states,
    )
    from rtd_adapters.text import TextTower as TextTower, Tokenizer as Tokenizer
    from rtd_adapters.training import (
        RunOptions as RunOptions,
        Trainer as Trainer,
        TrainingSettings as TrainingSettings,
    )

_HOME = {
    "Backbone": "backbones",
    "BackboneShape": "methods",
    "ImageFeatures": "methods",
    "EvalOptions": "evaluation.evaluate",
    "LoRASettings": "patch.lora",
    "Method": "methods",
    "PatchJob": "patching",
    "PatchResult": "patching",
    "Query": "methods",
    "Reference": "methods",
    "Result": "evaluation.result",
    "RtdError": "errors",
    "RunOptions": "training",
    "TextEncoderPatch": "patch",
    "TextTower": "text",
    "Tokenizer": "text",
    "Trainer": "training",
    "TrainingSettings": "training",
    "apply": "patch",
    "caption_states": "surrogates",
    "evaluate": "evaluation.evaluate",
    "fill_projection": "projections",
    "get_method": "registry",
    "hookimpl": "hookspecs",
    "load_backbone": "backbones",
    "read_checkpoint": "checkpoints",
    "read_pickled_module": "pickled_modules",
    "run_patch": "patching",
    "tensors_under": "projections",
    "token_states": "surrogates",
}

__version__ = "0.1.0"
__all__ = [*sorted(_HOME), "__version__"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
