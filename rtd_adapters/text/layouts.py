"""The three ways repositories name a CLIP text tower's tensors, and the mapping between them.

The hub of the mapping is `TextTower`'s own state dict, which is the openai layout with the fused
attention input split into q, k and v. Splitting and transposing copy values, so round trips are
bit exact.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from rtd_adapters.errors import BackboneError, UsageError

LAYOUTS = ("openai", "open_clip_custom", "hf")
CUSTOM_PREFIX = "text."
SHOWN_KEYS = 3

State = dict[str, Tensor]

_HF_NAMES = {
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "text_projection": "text_projection.weight",
}
_HF_MODULES = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.q_proj": "self_attn.q_proj",
    "attn.k_proj": "self_attn.k_proj",
    "attn.v_proj": "self_attn.v_proj",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_BLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)")
_MARKS = {
    "hf": re.compile(r"(text_model\.)?embeddings\.token_embedding\.weight"),
    "open_clip_custom": re.compile(r"text\.token_embedding\.weight"),
    "openai": re.compile(r"token_embedding\.weight"),
}


def detect_layout(names: Iterable[str]) -> str:
    """The layout that tensor names belong to.

    Raises:
        BackboneError: none holds a text tower's token embedding.
    """
    names = [name.removeprefix("module.") for name in names]
    for layout, mark in _MARKS.items():
        if any(mark.fullmatch(name) for name in names):
            return layout
    shown = ", ".join(names[:SHOWN_KEYS]) or "nothing"
    raise BackboneError(
        f"no CLIP text tower among the tensors ({shown}, ...): looked for a token embedding under "
        f"the names of {', '.join(LAYOUTS)}."
    )


def from_layout(state_dict: Mapping[str, object]) -> tuple[str, State]:
    """Layout, and the text tower's tensors under `TextTower`'s names.

    Images' tensors and anything else beside the text tower are left out; a `module.` prefix and
    one level of wrapping under 'state_dict' are stripped.

    Raises:
        BackboneError: there is no text tower, or tensors of it are missing.
    """
    wrapped = state_dict.get("state_dict")
    if isinstance(wrapped, Mapping):
        state_dict = wrapped
    tensors = {
        name.removeprefix("module."): tensor
        for name, tensor in state_dict.items()
        if isinstance(tensor, Tensor)
    }
    layout = detect_layout(tensors)
    state = _READERS[layout](tensors)
    _require_complete(state, layout)
    return layout, state


def to_layout(state: Mapping[str, Tensor], layout: str) -> State:
    """`TextTower`'s tensors under a layout's names, as `load_state_dict` of that code takes them.

    Raises:
        UsageError: the layout is unknown.
    """
    if layout not in LAYOUTS:
        raise UsageError(f"Unknown layout {layout!r}. Use one of {', '.join(LAYOUTS)}.")
    if layout == "hf":
        return {hf_name(name): _hf_tensor(name, tensor) for name, tensor in state.items()}
    fused = _fuse(state)
    if layout == "openai":
        return fused
    return {CUSTOM_PREFIX + name: tensor for name, tensor in fused.items()}


def hf_name(name: str) -> str:
    """transformers' name of one of `TextTower`'s tensors."""
    if name in _HF_NAMES:
        return _HF_NAMES[name]
    module, _, leaf = name.rpartition(".")
    return f"{hf_module_name(module)}.{leaf}"


def hf_module_name(module: str) -> str:
    """transformers' name of a module inside one of `TextTower`'s blocks."""
    match = _BLOCK.fullmatch(module)
    if match is None or match[2] not in _HF_MODULES:
        raise KeyError(module)
    return f"text_model.encoder.layers.{match[1]}.{_HF_MODULES[match[2]]}"


def depth_of(state: Mapping[str, Tensor]) -> int:
    """Number of transformer blocks in `TextTower`'s tensors."""
    blocks = [int(match[1]) for name in state if (match := _BLOCK.fullmatch(name))]
    return max(blocks, default=-1) + 1


def tower_names(depth: int) -> list[str]:
    """Every name in the state dict of a `TextTower` with that many blocks."""
    leaves = [f"{module}.{leaf}" for module in _HF_MODULES for leaf in ("weight", "bias")]
    blocks = [f"transformer.resblocks.{i}.{leaf}" for i in range(depth) for leaf in leaves]
    return [*_HF_NAMES, *blocks]


def _read_openai(tensors: Mapping[str, Tensor]) -> State:
    state: State = {}
    for name, tensor in tensors.items():
        if not (name in _HF_NAMES or _BLOCK.fullmatch(name)):
            continue
        if ".attn.in_proj_" in name:
            owner, leaf = name.split("in_proj_")
            parts = zip("qkv", tensor.chunk(3), strict=True)
            state.update({f"{owner}{part}_proj.{leaf}": piece for part, piece in parts})
        else:
            state[name] = tensor
    return state


def _read_custom(tensors: Mapping[str, Tensor]) -> State:
    inner = {name.removeprefix(CUSTOM_PREFIX): tensor for name, tensor in tensors.items()
             if name.startswith(CUSTOM_PREFIX)}
    return _read_openai(inner)


def _read_hf(tensors: Mapping[str, Tensor]) -> State:
    # From transformers 5.6 a CLIPTextModel's own names lack the `text_model.` prefix.
    bare = "embeddings.token_embedding.weight" in tensors
    named = {
        name if not bare or name.startswith("text_projection") else f"text_model.{name}": tensor
        for name, tensor in tensors.items()
    }
    layers = [int(m[1]) for n in named if (m := re.match(r"text_model\.encoder\.layers\.(\d+)\.", n))]
    names = tower_names(max(layers, default=-1) + 1)
    found = {name: named[hf_name(name)] for name in names if hf_name(name) in named}
    return {name: _hf_tensor(name, tensor) for name, tensor in found.items()}


_READERS = {"openai": _read_openai, "open_clip_custom": _read_custom, "hf": _read_hf}


def _hf_tensor(name: str, tensor: Tensor) -> Tensor:
    """The projection is the one tensor that transformers holds transposed."""
    return tensor.T.contiguous() if name == "text_projection" else tensor


def _fuse(state: Mapping[str, Tensor]) -> State:
    fused: State = {}
    for name, tensor in state.items():
        if ".attn.q_proj." in name:
            parts = [state[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            fused[name.replace("q_proj.", "in_proj_")] = torch.cat(parts)
        elif ".attn.k_proj." not in name and ".attn.v_proj." not in name:
            fused[name] = tensor
    return fused


def _require_complete(state: State, layout: str) -> None:
    depth = depth_of(state)
    missing = [name for name in tower_names(depth) if name not in state]
    if depth == 0:
        raise BackboneError(f"the {layout} text tower has no transformer blocks.")
    if missing:
        more = f" and {len(missing) - SHOWN_KEYS} more" if len(missing) > SHOWN_KEYS else ""
        raise BackboneError(
            f"the {layout} text tower lacks {', '.join(missing[:SHOWN_KEYS])}{more}. "
            "Pass a complete checkpoint."
        )
