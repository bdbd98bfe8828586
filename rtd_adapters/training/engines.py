"""The engines by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from rtd_adapters.training.fast_engine import FastEngine
from rtd_adapters.training.reference_engine import ReferenceEngine
from rtd_adapters.training.settings import EngineName, TrainingSettings
from rtd_adapters.training.step import Engine, StepContext, Towers

EngineClass: TypeAlias = Callable[[Towers, TrainingSettings, StepContext], Engine]
"""What makes a run's engine."""
_CLASSES: dict[EngineName, EngineClass] = {"fast": FastEngine, "reference": ReferenceEngine}


def engine_class(name: EngineName) -> EngineClass:
    """The class that the settings name."""
    return _CLASSES[name]
