"""Patches: train, save, load, apply, revert."""

from rtd_adapters.patch.metadata import PatchMetadata
from rtd_adapters.patch.precision import surviving_share
from rtd_adapters.patch.text_encoder_patch import TextEncoderPatch, apply
from rtd_adapters.patch.trainable import FullPatch, LoRAPatch

__all__ = [
    "FullPatch",
    "LoRAPatch",
    "PatchMetadata",
    "TextEncoderPatch",
    "apply",
    "surviving_share",
]
