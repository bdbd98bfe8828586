"""Training: objective, refined batches, refined concatenation, engines, the loop."""

from rtd_adapters.training.fast import FastEngine
from rtd_adapters.training.reference import ReferenceEngine
from rtd_adapters.training.settings import TrainingSettings
from rtd_adapters.training.step import Engine, Towers
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
]
