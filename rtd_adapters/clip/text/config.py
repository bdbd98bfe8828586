"""Everything about a text tower that its tensors do not hold, and their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from rtd_adapters.clip.text.activations import ACTIVATIONS
from rtd_adapters.errors import BackboneError


@dataclass(frozen=True)
class TowerConfig:
    """The shape of a CLIP text tower; a patch's metadata records it.

    Raises:
        BackboneError: the activation is unknown, a size is no whole number, or the heads do not
            divide the width.
    """

    width: int
    """Of the residual stream, and so of a token embedding."""
    layers: int
    heads: int
    embed_dim: int
    """Of the joint image-text space."""
    activation: str
    """quick_gelu (OpenAI's weights), gelu (LAION's) or gelu_tanh."""
    vocab_size: int = 49408
    context_length: int = 77
    mlp_width: int = 0
    """Of the hidden layer of each MLP; 4 * width where it is not given."""

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise BackboneError(
                f"Unknown activation {self.activation!r}. Use one of {', '.join(ACTIVATIONS)}."
            )
        sizes = {name: value for name, value in asdict(self).items() if name != "activation"}
        if wrong := [name for name, value in sizes.items() if type(value) is not int]:
            raise BackboneError(f"A tower's {wrong[0]} is a whole number, not {sizes[wrong[0]]!r}.")
        if self.heads < 1 or self.width % self.heads:
            raise BackboneError(
                f"A tower of width {self.width} cannot have {self.heads} attention heads: "
                "the heads must divide the width."
            )
        if not self.mlp_width:
            object.__setattr__(self, "mlp_width", 4 * self.width)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TowerConfig:
        """The inverse of `to_dict`; unknown keys are left alone.

        Raises:
            BackboneError: a size is missing.
        """
        known = {field.name for field in fields(cls)}
        try:
            return cls(**{name: value for name, value in values.items() if name in known})
        except TypeError as error:
            raise BackboneError(f"This is no text tower configuration: {error}.") from error
