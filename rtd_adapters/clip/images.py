"""What an image tower sees: the embeddings of pictures, and the states behind them.

Context-I2W and FTI4CIR read an image tower's states, patch by patch. Knows nothing of RTD.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from rtd_adapters.errors import BackboneError


@dataclass(frozen=True)
class ImageStates:
    """What an image tower gives for B pictures."""

    embedding: Tensor
    """[B, embed_dim], not normalised."""
    tokens: Tensor
    """[B, 1 + patches, image width]: states before the image head, the whole picture's first."""


def image_states(model: nn.Module, pictures: Tensor) -> ImageStates:
    """Embeddings and states of preprocessed pictures [B, 3, H, W], by a CLIP model of open_clip
    or transformers.

    A vision transformer's states are those before its last LayerNorm, CLS first. An attention
    pool's are its values, of which its output is a mean, each taken to the joint space (as in
    MaskCLIP, Zhou et al. 2022), after the output itself.

    Raises:
        BackboneError: the image tower is of another kind.
    """
    watched, here = _last_module(model), threading.get_ident()
    seen: list[Any] = []

    def keep(_: nn.Module, inputs: Any, states: Any) -> None:
        if threading.get_ident() == here:  # others may go through the same model meanwhile
            seen.append((inputs, states))

    hook = watched.register_forward_hook(keep)
    try:
        embedding = image_embeddings(model, pictures)
    finally:
        hook.remove()
    inputs, states = seen[-1]
    if has_attention_pool(model):
        cells = _joint_cells(watched, inputs[0])
        return ImageStates(embedding, torch.cat([embedding[:, None], cells], dim=1))
    return ImageStates(embedding, states if isinstance(states, Tensor) else states[0])


def image_embeddings(model: nn.Module, pictures: Tensor) -> Tensor:
    """[B, embed_dim] of preprocessed pictures [B, 3, H, W], not normalised, by any image tower of
    open_clip, or of transformers' CLIP, SigLIP, MetaCLIP 2 or BLIP."""
    parts: Any = model
    if hasattr(parts, "vision_proj"):  # BLIP, which has no method for one side alone
        states = parts.vision_model(pixel_values=pictures).last_hidden_state
        return cast(Tensor, parts.vision_proj(states[:, 0]))
    if not hasattr(parts, "get_image_features"):
        return parts.encode_image(pictures)
    features = parts.get_image_features(pixel_values=pictures)
    return features if isinstance(features, Tensor) else features.pooler_output


def image_width(model: nn.Module) -> int:
    """Width of the image tower's states.

    Raises:
        BackboneError: the image tower is of a kind rtd does not know.
    """
    parts: Any = model
    if hasattr(parts, "visual_projection"):
        return parts.visual_projection.in_features
    if has_attention_pool(model):
        return parts.visual.attnpool.c_proj.out_features
    if _is_plain(getattr(parts, "visual", None)):
        return parts.visual.proj.shape[0]
    raise BackboneError(
        f"the image tower {_tower_name(model)} has no projection rtd knows of its first state, so "
        "a method that reads its states cannot work with it. Use a ViT or ResNet of CLIP's own "
        "kind."
    )


def has_attention_pool(model: nn.Module) -> bool:
    """Whether the image tower ends in an attention pool, as CLIP's ResNets do."""
    return hasattr(getattr(model, "visual", None), "attnpool")


def _is_plain(visual: Any) -> bool:
    """Whether an image tower is CLIP's own vision transformer: a LayerNorm and a projection make
    the embedding of its first state alone."""
    return (
        isinstance(getattr(visual, "proj", None), Tensor)
        and all(hasattr(visual, part) for part in ("transformer", "ln_post"))
        and getattr(visual, "attn_pool", None) is None
        and getattr(visual, "pool_type", "tok") == "tok"
    )


def _tower_name(model: nn.Module) -> str:
    for name in ("visual", "vision_model"):
        if hasattr(model, name):
            return type(getattr(model, name)).__name__
    return f"of {type(model).__name__}"


def _last_module(model: nn.Module) -> nn.Module:
    parts: Any = model
    if hasattr(parts, "visual_projection"):
        return parts.vision_model.encoder
    if has_attention_pool(model):
        return parts.visual.attnpool
    if _is_plain(getattr(parts, "visual", None)):
        return parts.visual.transformer
    raise BackboneError(f"the image tower {_tower_name(model)} has no patch states rtd knows.")


def _joint_cells(pool: Any, cells: Tensor) -> Tensor:
    """[B, H * W, embed_dim] of an attention pool's input [B, C, H, W]."""
    flat = cells.flatten(2).transpose(1, 2) + pool.positional_embedding[1:]
    return cast(Tensor, pool.c_proj(pool.v_proj(flat)))
