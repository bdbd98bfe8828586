"""Backbones that plugins bring, and what they may bring along to try them with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rtd_adapters.hooks.registry import registry

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from rtd_adapters.clip.shapes import BackboneShape
    from rtd_adapters.clip.text import Vocabulary


class BackboneSource(ABC):
    """A backbone by name, with its weights. Subclass it and register it (`register_backbones`).

    It may also bring what `rtd patch` would otherwise ask for (`rtd_adapters.jobs.provided`).
    """

    name: str
    """What `--backbone` takes."""
    summary: str
    """One line for `rtd plugins`."""
    notice: str = ""
    """Said when somebody trains with it, where that needs saying; {method} is the method."""
    method: str = ""
    """The method to search with where nobody names one; empty where somebody has to."""

    @abstractmethod
    def load(self) -> tuple[nn.Module, Callable[[Any], Tensor]]:
        """The CLIP model, as open_clip or transformers builds it, and its image transform."""

    @abstractmethod
    def shape(self) -> BackboneShape:
        """Its sizes, without loading it."""

    def vocabulary(self) -> Vocabulary:
        """What the ids of its text tower mean: OpenAI's byte pairs, unless it says otherwise."""
        from rtd_adapters.clip.text import CLIP_BPE

        return CLIP_BPE

    def projection(self, method: str) -> Path | None:
        """A method's projection for it.

        Raises:
            UsageError: it brings projections, but none for this method.
        """
        return None


def backbone_source(name: str) -> BackboneSource | None:
    """The backbone that a plugin brings under that name, if any."""
    return registry().backbones.get(name)
