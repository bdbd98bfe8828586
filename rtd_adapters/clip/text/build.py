"""Builds a `TextTower` from a live CLIP model or from a state dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rtd_adapters.clip.finite import not_finite
from rtd_adapters.clip.text.config import TowerConfig
from rtd_adapters.clip.text.layouts import config_from_state, from_layout
from rtd_adapters.clip.text.recognition import find_tower
from rtd_adapters.clip.text.tower import TextTower
from rtd_adapters.errors import BackboneError


def tower_from_model(model: nn.Module) -> TextTower:
    """A copy of a live model's text tower, in fp32 and eval mode, on the model's device.

    Args:
        model: of OpenAI clip or a vendored copy of it, open_clip or transformers, wrapped for
            several processes or not.

    Raises:
        BackboneError: `model` is none of these, or a tensor holds NaN or infinity.
    """
    live = find_tower(model)
    _, tensors = from_layout(live.named_tensors(), live.config)
    return _fill(live.config, tensors)


def tower_from_state_dict(state: Mapping[str, Any], heads: int, activation: str) -> TextTower:
    """A CLIP's text tower in fp32 and eval mode from a state dict in any of its layouts.

    Args:
        state: may hold more than the text tower, and one level of wrapping.
        heads: attention heads; no tensor tells them.
        activation: quick_gelu, gelu or gelu_tanh; no tensor tells it either.

    Raises:
        BackboneError: no layout fits, or a tensor is missing, has the wrong shape, or holds NaN or
            infinity.
    """
    _, tensors = from_layout(state)
    width, out = tensors["text_projection"].shape
    length = len(tensors["positional_embedding"])
    like = TowerConfig(width, 1, heads, out, activation, context_length=length)
    return _fill(config_from_state(tensors, like), tensors)


def _fill(config: TowerConfig, tensors: Mapping[str, Tensor]) -> TextTower:
    with torch.device("meta"):
        tower = TextTower(config)
    copies = {
        name: tensor.detach().to(torch.float32, copy=True).contiguous()
        for name, tensor in tensors.items()
    }
    try:
        tower.load_state_dict(copies, assign=True)
    except RuntimeError as error:
        raise BackboneError(f"The text tower's tensors do not fit together: {error}") from error
    if (name := not_finite(copies)) is not None:
        raise BackboneError(
            f"The text tower's {name} holds NaN or infinity. Fetch the weights again, or take an "
            "earlier checkpoint."
        )
    return tower.eval()
