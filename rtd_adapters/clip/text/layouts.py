"""The three ways of naming and shaping a text tower's tensors, and the way between them.

`openai` is OpenAI's CLIP, open_clip's `CLIP` and the copies of it in Pic2Word and Context-I2W;
`open_clip_custom` is open_clip's `CustomTextCLIP`; `hf` is transformers' `CLIPModel` and
`CLIPTextModelWithProjection`. Between them stands the tower state: `TextTower`'s own names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from rtd_adapters.clip.text.config import TowerConfig
from rtd_adapters.errors import BackboneError

State = Mapping[str, Tensor]

LAYOUTS = ("openai", "open_clip_custom", "hf")
SHOWN_KEYS = 3
MOST_DIGITS = 9
"""Of a block's number."""

_BLOCKS = "transformer.resblocks."
_TOP = ("token_embedding.weight", "positional_embedding", "ln_final.weight", "ln_final.bias")
_FUSED = ("q_proj", "k_proj", "v_proj")
_BLOCK = tuple(
    f"{module}.{leaf}"
    for module in (
        "ln_1",
        *(f"attn.{projection}" for projection in _FUSED),
        "attn.out_proj",
        "ln_2",
        "mlp.c_fc",
        "mlp.c_proj",
    )
    for leaf in ("weight", "bias")
)

_WRAPPERS = ("module.", "_orig_mod.")  # DataParallel and torch.compile
_CUSTOM_TEXT = "text."
_HF_TEXT = "text_model."
_HF_BLOCKS = f"{_HF_TEXT}encoder.layers."
_HF_NAMES = {
    "token_embedding.weight": f"{_HF_TEXT}embeddings.token_embedding.weight",
    "positional_embedding": f"{_HF_TEXT}embeddings.position_embedding.weight",
    "ln_final.weight": f"{_HF_TEXT}final_layer_norm.weight",
    "ln_final.bias": f"{_HF_TEXT}final_layer_norm.bias",
    "text_projection": "text_projection.weight",
}
_HF_PARTS = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn": "self_attn",
    "c_fc": "fc1",
    "c_proj": "fc2",
}
_MARKERS = {
    "openai": "token_embedding.weight",
    "open_clip_custom": f"{_CUSTOM_TEXT}token_embedding.weight",
    "hf": _HF_NAMES["token_embedding.weight"],
}
_BLOCK_PREFIXES = {
    "openai": _BLOCKS,
    "open_clip_custom": _CUSTOM_TEXT + _BLOCKS,
    "hf": _HF_BLOCKS,
}


def tower_names(layers: int) -> list[str]:
    """The names of all tensors of a `TextTower` of that depth."""
    blocks = [f"{_BLOCKS}{layer}.{name}" for layer in range(layers) for name in _BLOCK]
    return [*_TOP[:2], *blocks, *_TOP[2:], "text_projection"]


def layout_names(layout: str, layers: int) -> list[str]:
    """The names of all tensors of a text tower of that depth in a layout, each once.

    Raises:
        BackboneError: there is no such layout.
    """
    return list(dict.fromkeys(_place(layout, name)[0] for name in tower_names(layers)))


def hf_module_name(name: str) -> str:
    """What transformers calls a module of a `TextTower`'s blocks.

    `transformer.resblocks.0.mlp.c_fc` is `text_model.encoder.layers.0.mlp.fc1`.
    """
    layer, _, rest = name.removeprefix(_BLOCKS).partition(".")
    parts = (_HF_PARTS.get(part, part) for part in rest.split("."))
    return f"{_HF_BLOCKS}{layer}.{'.'.join(parts)}"


def detect_layout(names: Iterable[str]) -> str:
    """The layout that a state dict with these keys is in.

    Raises:
        BackboneError: none; the message says what was looked for and lists the first keys.
    """
    plain = {_plain(name) for name in names}
    for layout, marker in _MARKERS.items():
        if marker in plain:
            return layout
    raise BackboneError(
        f"No CLIP text tower was found: none of {', '.join(_MARKERS.values())} is among the keys "
        f"({_listed(sorted(plain)) or 'there are none'}). "
        "Pass a CLIP state dict as OpenAI, open_clip or transformers write it."
    )


def from_layout(state: Mapping[str, Any]) -> tuple[str, dict[str, Tensor]]:
    """Read a state dict in whatever layout it is.

    Args:
        state: may be wrapped once (`{"state_dict": ...}`), carry the prefix `module.`, and hold
            more than the text tower; all that is passed over.

    Returns:
        The layout and the tower state; its tensors may share memory with `state`.

    Raises:
        BackboneError: no layout fits, or tensors are missing; the first few are named.
    """
    state = _unwrap(state)
    layout = detect_layout(state)
    tensors = {_plain(name): value for name, value in state.items() if isinstance(value, Tensor)}
    layers = _depth(layout, tensors)
    if not layers:
        raise BackboneError(
            f"The text tower (layout {layout}) has no blocks: no key starts with "
            f"{_BLOCK_PREFIXES[layout]}0. Pass the complete state dict."
        )
    missing = [name for name in layout_names(layout, layers) if name not in tensors]
    if missing:
        raise BackboneError(
            f"The text tower (layout {layout}, {layers} blocks) lacks {len(missing)} tensors: "
            f"{_listed(missing)}. Pass the complete state dict."
        )
    return layout, {name: _read(layout, name, tensors) for name in tower_names(layers)}


def to_layout(state: State, layout: str) -> dict[str, Tensor]:
    """Write a tower state in a layout; the inverse of `from_layout`, bit for bit.

    Raises:
        BackboneError: there is no such layout, or the state lacks tensors.
    """
    names = tower_names(_depth("openai", state))
    missing = [name for name in names if name not in state]
    if missing:
        raise BackboneError(f"The tower state lacks {len(missing)} tensors: {_listed(missing)}.")
    pieces: dict[str, list[Tensor]] = {}
    for name in names:
        place, _ = _place(layout, name)
        pieces.setdefault(place, []).append(_turned(layout, name, state[name]))
    return {
        name: torch.cat(parts) if len(parts) > 1 else parts[0].contiguous()
        for name, parts in pieces.items()
    }


def config_from_state(state: State, heads: int, activation: str) -> TowerConfig:
    """The configuration of a tower state; `heads` and `activation` stand in no tensor.

    Raises:
        BackboneError: the heads do not divide the width, or the activation is unknown.
    """
    vocab_size, width = state["token_embedding.weight"].shape
    return TowerConfig(
        width=width,
        layers=_depth("openai", state),
        heads=heads,
        embed_dim=state["text_projection"].shape[1],
        activation=activation,
        vocab_size=vocab_size,
        context_length=state["positional_embedding"].shape[0],
        mlp_width=state[f"{_BLOCKS}0.mlp.c_fc.weight"].shape[0],
    )


def _place(layout: str, name: str) -> tuple[str, int | None]:
    """Where a layout keeps a tower tensor: the key, and which third of a fused q, k, v it is."""
    if layout not in LAYOUTS:
        raise BackboneError(f"Unknown layout {layout!r}. Use one of {', '.join(LAYOUTS)}.")
    if layout == "hf":
        return _HF_NAMES.get(name) or hf_module_name(name), None
    prefix = _CUSTOM_TEXT if layout == "open_clip_custom" else ""
    for third, projection in enumerate(_FUSED):
        if f".attn.{projection}." in name:
            return prefix + name.replace(f".attn.{projection}.", ".attn.in_proj_"), third
    return prefix + name, None


def _read(layout: str, name: str, tensors: State) -> Tensor:
    place, third = _place(layout, name)
    tensor = tensors[place]
    if third is None:
        return _turned(layout, name, tensor).contiguous()
    size = len(tensor) // len(_FUSED)
    return tensor[third * size : (third + 1) * size]


def _turned(layout: str, name: str, tensor: Tensor) -> Tensor:
    """OpenAI's projection is a parameter [width, embed_dim]; a Linear keeps [embed_dim, width]."""
    return tensor.T if layout == "hf" and name == "text_projection" else tensor


def _unwrap(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state dict itself, or the one inside it that holds a text tower."""
    for candidate in (state, *(value for value in state.values() if isinstance(value, Mapping))):
        if set(_MARKERS.values()) & {_plain(str(name)) for name in candidate}:
            return candidate
    return state


def _plain(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper)
    # transformers 5.6 and later leave the prefix out in a bare CLIPTextModel.
    bare = name.startswith(("embeddings.", "encoder.layers.", "final_layer_norm."))
    return _HF_TEXT + name if bare else name


def _depth(layout: str, tensors: State) -> int:
    """How many blocks there are, by the highest number; there cannot be more than tensors."""
    block = re.compile(re.escape(_BLOCK_PREFIXES[layout]) + r"(\d+)\.", re.ASCII)
    numbers = {match[1]: name for name in tensors if (match := block.match(name))}
    for number, name in numbers.items():
        if len(number) > MOST_DIGITS or int(number) >= len(tensors):
            raise BackboneError(
                f"The key {name[:80]} is of block {number[:20]}, but there are only {len(tensors)} "
                "tensors. Pass a complete and undamaged state dict."
            )
    return max(map(int, numbers), default=-1) + 1


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_KEYS} more" if len(names) > SHOWN_KEYS else ""
    return ", ".join(names[:SHOWN_KEYS]) + more
