"""Ways of naming and shaping a text tower's tensors, and the way between them.

Between them stands the tower state: `TextTower`'s own names. `openai` is OpenAI's CLIP, open_clip's
`CLIP` and the copies of it in Pic2Word and Context-I2W; `open_clip_custom` is open_clip's
`CustomTextCLIP` and `CoCa`; `hf` is transformers' CLIP, SigLIP and MetaCLIP 2. The others belong to
one family of towers each (`families`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from rtd_adapters.clip.text.config import TowerConfig
from rtd_adapters.clip.text.families import LAYOUTS, Layout
from rtd_adapters.clip.text.layout import BLOCKS, FUSED
from rtd_adapters.clip.text.tower import TextTower
from rtd_adapters.errors import BackboneError

State = Mapping[str, Tensor]

SHOWN_KEYS = 3
MOST_DIGITS = 9
"""Of a block's number."""
_WRAPPERS = ("module.", "_orig_mod.")  # DataParallel and torch.compile
_HF_BARE = (
    "embeddings.token_embedding.",
    "embeddings.position_embedding.",
    "encoder.layers.",
    "final_layer_norm.",
)


def get_layout(name: str) -> Layout:
    """The layout of that name.

    Raises:
        BackboneError: there is none.
    """
    if name not in LAYOUTS:
        raise BackboneError(f"Unknown layout {name!r}. Use one of {', '.join(LAYOUTS)}.")
    return LAYOUTS[name]


def tower_names(config: TowerConfig) -> list[str]:
    """The names of all tensors of a `TextTower`."""
    one, whole = _names_with_one_block(_smallest(config)), []
    for name in one:
        if not name.startswith(BLOCKS):
            whole.append(name)
            continue
        part = name.removeprefix(f"{BLOCKS}0.")
        whole += [f"{BLOCKS}{block}.{part}" for block in range(config.layers)]
    return whole


def layout_names(layout: str, config: TowerConfig) -> list[str]:
    """The names of all tensors of a text tower in a layout, each once.

    Raises:
        BackboneError: there is no such layout, or it cannot hold such a tower.
    """
    kind = get_layout(layout)
    return list(dict.fromkeys(kind.place(name)[0] for name in tower_names(config)))


def detect_layout(names: Iterable[str]) -> str:
    """The layout that a state dict with these keys is in.

    Raises:
        BackboneError: none; the message says what was looked for and lists the first keys.
    """
    plain = {_plain(name) for name in names}
    for name, layout in LAYOUTS.items():
        if layout.marker in plain:
            return name
    markers = ", ".join(layout.marker for layout in LAYOUTS.values())
    raise BackboneError(
        f"No text tower was found: none of {markers} is among the keys "
        f"({_listed(sorted(plain)) or 'there are none'}). "
        "Pass a state dict as OpenAI, open_clip or transformers write it."
    )


def holds_tower(state: Mapping[str, Any]) -> bool:
    """Whether a state dict, wrapped once or not, has the keys of a text tower in some layout."""
    try:
        return bool(detect_layout(map(str, _unwrap(state))))
    except BackboneError:
        return False


def from_layout(
    state: Mapping[str, Any], config: TowerConfig | None = None
) -> tuple[str, dict[str, Tensor]]:
    """Read a state dict in whatever layout it is.

    Args:
        state: may be wrapped once (`{"state_dict": ...}`), carry the prefix `module.`, and hold
            more than the text tower; all that is passed over.
        config: of the tower; a CLIP's of whatever depth by default.

    Returns:
        The layout and the tower state; its tensors may share memory with `state`.

    Raises:
        BackboneError: no layout fits, or tensors are missing; the first few are named.
    """
    state = _unwrap(state)
    layout = detect_layout(state)
    tensors = {_plain(name): value for name, value in state.items() if isinstance(value, Tensor)}
    blocks = LAYOUTS[layout].blocks
    depth = _depth(blocks, tensors)
    if not depth:
        raise BackboneError(
            f"The text tower (layout {layout}) has no blocks: no key starts with "
            f"{blocks}0. Pass the complete state dict."
        )
    if config is None:
        config = TowerConfig(width=1, layers=depth, heads=1, embed_dim=1, activation="gelu")
    elif depth != config.layers:
        raise BackboneError(
            f"The text tower (layout {layout}) has {depth} blocks, another number than the "
            f"{config.layers} that it must have. Pass the state dict of that model."
        )
    missing = [name for name in layout_names(layout, config) if name not in tensors]
    if missing:
        raise BackboneError(
            f"The text tower (layout {layout}, {depth} blocks) lacks {len(missing)} tensors: "
            f"{_listed(missing)}. Pass the complete state dict."
        )
    return layout, {name: _read(layout, name, tensors) for name in tower_names(config)}


def to_layout(state: State, layout: str) -> dict[str, Tensor]:
    """Write a tower state in a layout; the inverse of `from_layout`, bit for bit.

    Raises:
        BackboneError: there is no such layout, or it has no name for one of the tensors.
    """
    kind = get_layout(layout)
    pieces: dict[str, dict[int, Tensor]] = {}
    for name, tensor in state.items():
        place, third = kind.place(name)
        pieces.setdefault(place, {})[third or 0] = _turned(layout, name, tensor)
    return {name: _joined(name, parts, state) for name, parts in pieces.items()}


def config_from_state(state: State, like: TowerConfig) -> TowerConfig:
    """The configuration of a tower state: its sizes, and all that stands in no tensor as in
    `like`.

    Raises:
        BackboneError: the heads do not divide the width.
    """
    vocab_size, width = state["token_embedding.weight"].shape
    values = like.to_dict() | {
        "width": width,
        "layers": _depth(BLOCKS, state),
        "embed_dim": _embed_dim(state, width),
        "vocab_size": vocab_size,
        "mlp_width": state[f"{BLOCKS}0.mlp.c_fc.weight"].shape[0],
        "head_width": state[f"{BLOCKS}0.attn.q_proj.weight"].shape[0] // like.heads,
    }
    if (table := state.get("positional_embedding")) is not None:
        values["position_rows"] = len(table)
    if (hidden := state.get("text_projection.0.weight")) is not None:
        values["projection_width"] = len(hidden)
    return TowerConfig(**values)


def plain_key(name: str) -> str:
    """A key without what several processes or torch.compile put before it."""
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper)
    return name


def _embed_dim(state: State, width: int) -> int:
    if (matrix := state.get("text_projection")) is not None:
        return matrix.shape[1]
    for last in ("text_projection.weight", "text_projection.2.weight"):
        if (layer := state.get(last)) is not None:
            return layer.shape[0]
    return width


def _smallest(config: TowerConfig) -> TowerConfig:
    """One of the same tensors, but one block and one of everything."""
    return TowerConfig(
        **config.to_dict()
        | {"width": 1, "layers": 1, "heads": 1, "embed_dim": 1, "vocab_size": 1}
        | {"context_length": 1, "position_rows": 0, "first_position": 0}
        | {"mlp_width": 1, "head_width": 1, "projection_width": 1}
    )


@lru_cache(maxsize=32)
def _names_with_one_block(config: TowerConfig) -> tuple[str, ...]:
    with torch.device("meta"):
        return tuple(TextTower(config).state_dict())


def _joined(name: str, parts: Mapping[int, Tensor], state: State) -> Tensor:
    if len(parts) == 1:
        return parts[0].contiguous()
    if len(parts) < len(FUSED):
        raise BackboneError(f"The tower state lacks a part of {name} ({len(state)} tensors).")
    return torch.cat([parts[third] for third in range(len(FUSED))])


def _read(layout: str, name: str, tensors: State) -> Tensor:
    place, third = LAYOUTS[layout].place(name)
    tensor = tensors[place]
    if third is None:
        return _turned(layout, name, tensor).contiguous()
    size = len(tensor) // len(FUSED)
    return tensor[third * size : (third + 1) * size]


def _turned(layout: str, name: str, tensor: Tensor) -> Tensor:
    """OpenAI's projection is a parameter [width, embed_dim]; a Linear keeps [embed_dim, width]."""
    return tensor.T if name == "text_projection" and LAYOUTS[layout].turned else tensor


def _unwrap(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state dict itself, or the one inside it that holds a text tower."""
    markers = {layout.marker for layout in LAYOUTS.values()}
    for candidate in (state, *(value for value in state.values() if isinstance(value, Mapping))):
        if markers & {_plain(str(name)) for name in candidate}:
            return candidate
    return state


def _plain(name: str) -> str:
    name = plain_key(name)
    # transformers 5.6 and later leave the prefix out in a bare CLIPTextModel.
    return f"text_model.{name}" if name.startswith(_HF_BARE) else name


def _depth(blocks: str, tensors: State) -> int:
    """How many blocks there are, by the highest number; there cannot be more than tensors."""
    block = re.compile(re.escape(blocks) + r"(\d+)\.", re.ASCII)
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
