"""Training: objective, refined batches, refined concatenation, engines, the loop."""

from rtd_adapters.training.fast_engine import FastEngine
from rtd_adapters.training.options import RunOptions
from rtd_adapters.training.record import TrainingRecord
from rtd_adapters.training.reference_engine import ReferenceEngine
from rtd_adapters.training.settings import TrainingSettings
from rtd_adapters.training.step import Engine, Towers
from rtd_adapters.training.trainer import Trainer

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
