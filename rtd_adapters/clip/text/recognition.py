"""Recognises the text tower inside a live model, by its parts and not by its class.

Vendored copies of OpenAI's CLIP (Pic2Word, Context-I2W) are found in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from rtd_adapters.clip.text.config import TowerConfig
from rtd_adapters.clip.text.families import FAMILIES
from rtd_adapters.clip.text.families.family import Family, model_type
from rtd_adapters.clip.text.layouts import config_from_state, from_layout, layout_names, plain_key
from rtd_adapters.errors import BackboneError


@dataclass(frozen=True)
class LiveTower:
    """The text tower inside a live model; its tensors are the model's own."""

    family: Family
    config: TowerConfig
    model: nn.Module
    """Without the wrapper that several processes or torch.compile put round it."""

    @property
    def layout(self) -> str:
        """How the model names its tensors."""
        return self.family.layout.name

    def named_tensors(self) -> dict[str, Tensor]:
        """The tower's tensors under the layout's names; writing into them changes the model."""
        tensors = self.model.state_dict()
        return {name: tensors[name] for name in layout_names(self.layout, self.config)}

    def state(self) -> dict[str, Tensor]:
        """Copies under `TextTower`'s names, in the model's own precision."""
        _, tensors = from_layout(self.named_tensors(), self.config)
        return {name: tensor.detach().clone() for name, tensor in tensors.items()}

    def encode(self, ids: Tensor) -> Tensor:
        """[B, embed_dim] by the model's own code, of padded ids [B, context_length]; it may
        normalise them."""
        return self.family.encode(self.model, ids)


def find_tower(model: nn.Module) -> LiveTower:
    """The text tower of a model of OpenAI clip, open_clip or transformers.

    Args:
        model: may be wrapped (DataParallel, DistributedDataParallel, torch.compile).

    Raises:
        BackboneError: it is of no family that rtd knows (docs/towers.md), or a part of it is not
            built as that family is; which one is said.
    """
    model = unwrapped(model)
    family = _family(model)
    tensors = {plain_key(name): tensor for name, tensor in model.state_dict().items()}
    config = _config(family, model, tensors)
    _require_no_other_tensors(family, config, tensors)
    return LiveTower(family, config, model)


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside DataParallel, DistributedDataParallel or torch.compile; or the model."""
    for wrapper in ("module", "_orig_mod"):
        inner = getattr(model, wrapper, None)
        if isinstance(inner, nn.Module):
            return unwrapped(inner)
    return model


def _family(model: nn.Module) -> Family:
    for family in FAMILIES:
        if family.fits(model):
            return family
    near = [family for family in FAMILIES if family.types and family.has_modules_of(model)]
    if near:
        known = ", ".join(kind for family in near for kind in family.types)
        raise BackboneError(
            f"{type(model).__name__} has a text model of type {model_type(model)!r}; rtd knows "
            f"{known} of this build. docs/towers.md lists what can be patched."
        )
    sought = "; ".join(f"`{'` and `'.join(family.found)}` ({family.name})" for family in FAMILIES)
    raise BackboneError(
        f"{type(model).__name__} is no model that can be patched. What was looked for: {sought}."
    )


def _config(family: Family, model: nn.Module, tensors: Mapping[str, Tensor]) -> TowerConfig:
    """The description of a live tower: what its family reads off it, and its tensors' sizes."""
    described = dict(family.describe(model))
    rough = _rough(described, family, tensors)
    _, state = from_layout(tensors, rough)
    _require_loaded(state)
    if "context_length" not in described and "positional_embedding" in state:
        rows = len(state["positional_embedding"])
        described["context_length"] = rows - (rough.pooling == "appended")
        rough = _rough(described, family, tensors)
    return config_from_state(state, rough)


def _rough(
    described: Mapping[str, object], family: Family, tensors: Mapping[str, Tensor]
) -> TowerConfig:
    """A description whose sizes are not known yet, but for the number of blocks."""
    blocks = re.compile(re.escape(family.layout.blocks) + r"(\d+)\.")
    depth = len({match[1] for name in tensors if (match := blocks.match(name))})
    heads = described["heads"]
    sizes = {"width": heads, "layers": depth, "embed_dim": 1}
    return TowerConfig.from_dict(sizes | dict(described))


def _require_loaded(state: Mapping[str, Tensor]) -> None:
    empty = next((name for name, tensor in state.items() if tensor.is_meta), None)
    if empty is not None:
        raise BackboneError(
            f"The text tower's {empty} is on the meta device: its weights are not loaded, or they "
            "are offloaded. Load them, and patch the model before it is offloaded or dispatched."
        )


def _require_no_other_tensors(
    family: Family, config: TowerConfig, tensors: Mapping[str, Tensor]
) -> None:
    """Refuse a tower with tensors that its family has not: they would change what it computes."""
    known = set(layout_names(family.layout.name, config))
    others = [
        name
        for name in tensors
        if name.startswith(family.roots)
        and name not in known
        and not any(re.search(pattern, name) for pattern in family.unused)
    ]
    if others:
        raise BackboneError(
            f"The text tower has {len(others)} tensors that {family.name} has not, {others[0]} "
            "first. Merge adapters into the weights before patching; other variants are not "
            "supported."
        )
