"""The parameters that a run trains."""

from __future__ import annotations

from torch import nn


def trained_tensors(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that take gradients, by name."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}
