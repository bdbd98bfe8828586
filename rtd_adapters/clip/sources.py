"""Backbones that plugins bring, and what they may bring along to try them with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from rtd_adapters.clip.backbones import Backbone
    from rtd_adapters.clip.shapes import BackboneShape
    from rtd_adapters.evaluation.world import World
    from rtd_adapters.methods.method import Method
    from rtd_adapters.triplets import TripletSet


class BackboneSource(ABC):
    """A backbone by name, with its weights. Subclass it and register it (`register_backbones`).

    The rest of what it may bring stands in for inputs that `rtd patch` would otherwise ask for.
    """

    name: str
    """What `--backbone` takes."""
    summary: str
    """One line for `rtd plugins`."""
    notice: str = ""
    """Said when somebody trains with it, where that needs saying; {method} is the method."""

    @abstractmethod
    def load(self) -> tuple[nn.Module, Callable[[Any], Tensor]]:
        """The CLIP model, as open_clip or transformers builds it, and its image transform."""

    @abstractmethod
    def shape(self) -> BackboneShape:
        """Its sizes, without loading it."""

    def projection(self, method: str) -> Path | None:
        """A method's projection for it.

        Raises:
            UsageError: it brings projections, but none for this method.
        """
        return None

    def triplets(self) -> TripletSet | None:
        """Triplets to train with, and what a patch's metadata says of them."""
        return None

    def recipe(self, kind: str) -> Mapping[str, Any]:
        """Training settings that differ from the published ones, for a kind of patch."""
        return {}

    def world(self, method: Method, projection: nn.Module, backbone: Backbone) -> World | None:
        """Pictures of its own with known captions, on which figures are taken."""
        return None
