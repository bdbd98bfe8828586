"""What a backbone that a plugin brings may bring along, so that nobody has to be asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import nn

from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.clip.sources import backbone_source
from rtd_adapters.evaluation.world import World
from rtd_adapters.methods.method import Method
from rtd_adapters.triplets import TripletSet


@runtime_checkable
class Provisions(Protocol):
    """A `BackboneSource` that is ready to be tried, as the built-in world's is."""

    def triplets(self) -> TripletSet:
        """Triplets to train with."""

    def recipe(self, kind: str) -> Mapping[str, Any]:
        """Training settings that differ from the published ones, for a kind of patch."""

    def world(self, method: Method, projection: nn.Module, backbone: Backbone) -> World:
        """Pictures of its own with known captions, on which figures are taken."""


@runtime_checkable
class TrainsProjections(Protocol):
    """A `BackboneSource` that other settings suit than the published ones, as the built-in
    world's, where a projection is trained."""

    def projection_recipe(self, method: str) -> Mapping[str, Any]:
        """Fields of `InversionSettings` for a method's projection."""


def provisions(backbone: str) -> Provisions | None:
    """What the backbone of that name brings along, if it does."""
    source = backbone_source(backbone)
    return source if isinstance(source, Provisions) else None
