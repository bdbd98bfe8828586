"""Textual inversion: a method's projection trained against the frozen text tower."""

from rtd_adapters.training.inversion.settings import InversionSettings
from rtd_adapters.training.inversion.sources import CaptionSource, PictureSource
from rtd_adapters.training.inversion.trainer import InversionRun, InversionTrainer

__all__ = [
    "CaptionSource",
    "InversionRun",
    "InversionSettings",
    "InversionTrainer",
    "PictureSource",
]
