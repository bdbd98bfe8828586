"""The activations of CLIP's MLPs. Taking one for another costs 3e-2 in the output, silently."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from rtd_adapters.errors import BackboneError

PROBE_TOLERANCE = 1e-6  # the closest two (gelu and gelu_tanh) differ by 5e-4 on the probe


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), with which OpenAI's CLIP was trained."""

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as `x`."""
        return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "quick_gelu": QuickGELU,
    "gelu": nn.GELU,
    "gelu_tanh": partial(nn.GELU, approximate="tanh"),
}


@torch.no_grad()
def recognise_activation(module: nn.Module) -> str:
    """The name of the activation that `module` computes, found by evaluating it on a probe.

    Raises:
        BackboneError: it computes none of those known.
    """
    probe = torch.linspace(-6.0, 6.0, 241, dtype=torch.float64)
    try:
        values = module(probe)
    except Exception as error:
        raise BackboneError(
            f"The text tower's activation {type(module).__name__} cannot be evaluated: {error}."
        ) from error
    for name, activation in ACTIVATIONS.items():
        if (values - activation()(probe)).abs().max() < PROBE_TOLERANCE:
            return name
    raise BackboneError(
        f"The text tower's activation {type(module).__name__} is none of {', '.join(ACTIVATIONS)}. "
        "Only CLIP text towers with one of these can be patched."
    )
