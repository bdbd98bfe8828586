"""Training: objective, refined batches, refined concatenation, engines, the loop."""

from rtd_adapters.training.engine import Engine, ReferenceEngine, Towers
from rtd_adapters.training.fast import FastEngine
from rtd_adapters.training.settings import TrainingSettings, demo_settings
from rtd_adapters.training.trainer import RunOptions, Trainer, TrainingRecord

__all__ = [
    "Engine",
    "FastEngine",
    "ReferenceEngine",
    "RunOptions",
    "Towers",
    "Trainer",
    "TrainingRecord",
    "TrainingSettings",
    "demo_settings",
]
