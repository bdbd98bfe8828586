"""Patches: train, save, load, apply, revert."""

from rtd_adapters.patch.base import KINDS, TextEncoderPatch, apply
from rtd_adapters.patch.metadata import PatchMetadata
from rtd_adapters.patch.precision import surviving_share

__all__ = ["KINDS", "PatchMetadata", "TextEncoderPatch", "apply", "surviving_share"]
