"""Recognises the text tower inside a live CLIP model, by its parts and not by its class.

Vendored copies of OpenAI's CLIP (Pic2Word, Context-I2W) are found in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from rtd_adapters.clip.text.activations import recognise_activation
from rtd_adapters.clip.text.config import TowerConfig
from rtd_adapters.clip.text.layouts import config_from_state, from_layout, layout_names
from rtd_adapters.errors import BackboneError

EPS = 1e-5  # of every CLIP's LayerNorms


@dataclass(frozen=True)
class LiveTower:
    """The text tower inside a live model; its tensors are the model's own."""

    layout: str
    config: TowerConfig
    model: nn.Module
    """Without the wrapper that several processes or torch.compile put round it."""

    def named_tensors(self) -> dict[str, Tensor]:
        """The tower's tensors under the layout's names; writing into them changes the model."""
        tensors = self.model.state_dict()
        return {name: tensors[name] for name in layout_names(self.layout, self.config.layers)}

    def state(self) -> dict[str, Tensor]:
        """Copies under `TextTower`'s names, in the model's own precision."""
        _, tensors = from_layout(self.named_tensors())
        return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def find_tower(model: nn.Module) -> LiveTower:
    """The text tower of an OpenAI clip, open_clip or transformers CLIP model.

    Args:
        model: may be wrapped (DataParallel, DistributedDataParallel, torch.compile).

    Raises:
        BackboneError: it is no such model, or its text tower is not built as CLIP's is.
    """
    model = unwrapped(model)
    if _has(model, "text_model.encoder.layers"):
        return _transformers_tower(model)
    if _has(model, "text.transformer.resblocks"):
        return _openai_tower(model, model.text, "open_clip_custom")
    if _has(model, "transformer.resblocks") and _has(model, "token_embedding"):
        return _openai_tower(model, model, "openai")
    raise BackboneError(
        f"{type(model).__name__} is no CLIP that can be patched: it has neither "
        "`transformer.resblocks` with `token_embedding` (OpenAI clip, open_clip CLIP), nor "
        "`text.transformer.resblocks` (open_clip CustomTextCLIP), nor `text_model.encoder.layers` "
        "(transformers CLIPModel, CLIPTextModelWithProjection)."
    )


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside DataParallel, DistributedDataParallel or torch.compile; or the model."""
    for wrapper in ("module", "_orig_mod"):
        inner = getattr(model, wrapper, None)
        if isinstance(inner, nn.Module):
            return unwrapped(inner)
    return model


def _openai_tower(model: nn.Module, text: Any, layout: str) -> LiveTower:
    block = text.transformer.resblocks[0]
    _require_pooling_at_eot(text, block)
    return _live(model, layout, block.attn.num_heads, block.mlp, text.ln_final)


def _transformers_tower(model: nn.Module) -> LiveTower:
    text: Any = model.text_model
    layer = text.encoder.layers[0]
    return _live(model, "hf", layer.self_attn.num_heads, layer.mlp, text.final_layer_norm)


def _live(model: nn.Module, layout: str, heads: int, mlp: nn.Module, norm: Any) -> LiveTower:
    if norm.eps != EPS:
        raise BackboneError(
            f"The text tower's LayerNorms have eps {norm.eps}; CLIP's have {EPS}. "
            "It cannot be patched."
        )
    detected, tensors = from_layout(model.state_dict())
    assert detected == layout
    _require_loaded(tensors)
    config = config_from_state(tensors, heads, recognise_activation(_activation(mlp)))
    _require_no_other_tensors(model, layout, config.layers)
    return LiveTower(layout, config, model)


def _activation(mlp: nn.Module) -> nn.Module:
    """The one part of an MLP that has no weights."""
    parts = [part for part in mlp.children() if not list(part.parameters())]
    if len(parts) != 1:
        names = ", ".join(type(part).__name__ for part in mlp.children())
        raise BackboneError(
            f"The text tower's MLP ({names}) is not two linear layers and an activation."
        )
    return parts[0]


def _require_pooling_at_eot(text: Any, block: Any) -> None:
    """Refuse towers that look in both directions or pool elsewhere (SigLIP, some open_clip)."""
    mask = getattr(text, "attn_mask", None)
    mask = getattr(block, "attn_mask", None) if mask is None else mask
    if mask is None:
        raise BackboneError("The text tower attends in both directions; CLIP's is causal.")
    pooling = getattr(text, "text_pool_type", getattr(text, "pool_type", "argmax"))
    if pooling not in ("argmax", "eos"):
        raise BackboneError(f"The text tower pools by {pooling!r}; CLIP's pools at EOT.")


def _require_loaded(tensors: Mapping[str, Tensor]) -> None:
    empty = next((name for name, tensor in tensors.items() if tensor.is_meta), None)
    if empty is not None:
        raise BackboneError(
            f"The text tower's {empty} is on the meta device: its weights are not loaded, or they "
            "are offloaded. Load them, and patch the model before it is offloaded or dispatched."
        )


def _require_no_other_tensors(model: nn.Module, layout: str, layers: int) -> None:
    """Refuse a tower with tensors that CLIP's has not: they would change what it computes."""
    known = set(layout_names(layout, layers))
    first = ("cls_emb", "token_", "positional_", "transformer.", "ln_final.", "text_projection")
    roots = {
        "openai": first,
        "open_clip_custom": tuple(f"text.{name}" for name in first),
        "hf": ("text_model.", "text_projection"),
    }[layout]
    others = [
        name
        for name in model.state_dict()
        if name.startswith(roots) and name not in known and not name.endswith("position_ids")
    ]
    if others:
        raise BackboneError(
            f"The text tower has {len(others)} tensors that CLIP's has not, {others[0]} first. "
            "Merge adapters into the weights before patching; other variants are not supported."
        )


def _has(model: nn.Module, path: str) -> bool:
    part: Any = model
    for name in path.split("."):
        part = getattr(part, name, None)
    return isinstance(part, nn.Module)
