"""What a family of text towers is: how it is recognised, described and asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from rtd_adapters.clip.text.layout import Layout

Description = Mapping[str, Any]
"""Fields of `TowerConfig` that no tensor tells."""


@dataclass(frozen=True)
class Family:
    """Text towers that one piece of somebody's code computes."""

    name: str
    """In words."""
    found: tuple[str, ...]
    """Paths of modules that a model of this family has, all of them."""
    layout: Layout
    describe: Callable[[Any], Description]
    """Reads a live model, by its parts and settings and not by its class. It raises BackboneError
    where one is of a kind that `TowerConfig` has no word for."""
    encode: Callable[[Any, Tensor], Tensor]
    """The model's own embeddings [B, embed_dim] of padded ids [B, context_length]; unit vectors
    where it gives no others."""
    roots: tuple[str, ...]
    """What the keys of its text tower's tensors begin with: any other tensor there is a part that
    rtd does not know."""
    unused: tuple[str, ...] = ()
    """Patterns of keys below the roots that plain texts do not go through."""
    types: tuple[str, ...] = ()
    """Where several families have the same modules: this one's text models, as transformers calls
    them (`model_type`)."""

    def has_modules_of(self, model: nn.Module) -> bool:
        """Whether a model has this family's modules."""
        return all(has_module(model, path) for path in self.found)

    def fits(self, model: nn.Module) -> bool:
        """Whether a model is one of this family."""
        return self.has_modules_of(model) and (not self.types or model_type(model) in self.types)


def has_module(model: nn.Module, path: str) -> bool:
    """Whether there is a module under a dotted path."""
    part: Any = model
    for name in path.split("."):
        part = getattr(part, name, None)
    return isinstance(part, nn.Module)


def model_type(model: Any) -> str:
    """What transformers calls a model's text model."""
    return str(getattr(model.text_model.config, "model_type", ""))
