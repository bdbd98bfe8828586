"""The end of an image tower, and the way back through it: from joint-space vectors to states.

Text-only training has no image, so it lifts joint-space vectors to states that would have given
them; that is our own idea. Knows nothing of RTD.
"""

from __future__ import annotations

import copy
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from rtd_adapters.clip.images import has_attention_pool, image_states, image_width
from rtd_adapters.errors import BackboneError

FILLING_SEED = 0
"""Of the fixed direction that lifted states get where the embedding does not say."""


class ImageHead(nn.Module):
    """The end of an image tower, from states to embeddings: LayerNorm, then a projection.

    Args:
        norm: the LayerNorm of a vision transformer; None where states are embeddings already.
        weight: [image width, embed_dim], or None likewise.
        scale: root mean square of the tower's states, which lifted ones get.
        patches: how many of a picture's states stand for patches.
    """

    norm: nn.LayerNorm | None
    weight: Tensor | None

    def __init__(
        self,
        norm: nn.LayerNorm | None = None,
        weight: Tensor | None = None,
        scale: float = 1.0,
        patches: int = 1,
    ) -> None:
        super().__init__()
        self.norm = norm
        self.patches = patches
        self.register_buffer("weight", None if weight is None else weight.detach().float())
        self.scale = scale

    def forward(self, states: Tensor) -> Tensor:
        """[..., embed_dim] from [..., image width]."""
        if self.norm is None or self.weight is None:
            return states
        return self.norm(states) @ self.weight

    @torch.no_grad()
    def lift(self, vectors: Tensor) -> Tensor:
        """States [..., image width] which this head maps to vectors [..., embed_dim].

        Of all normalised states that do, one is the least of norm plus a fixed direction that the
        head does not see. A vector too long for any is shortened: its direction is kept.
        """
        if self.norm is None or self.weight is None:
            return vectors
        back, offset, unseen = self._inverse
        states = _shortened(vectors.float() @ back, offset, len(unseen))
        room = (len(unseen) - states.square().sum(-1, keepdim=True)).clamp_min(0)
        return self.scale * (states + room.sqrt() * unseen)

    @cached_property
    def _inverse(self) -> tuple[Tensor, Tensor, Tensor]:
        """The way back, the LayerNorm's shift taken it, and a direction that the head does not see.

        A decomposition of the weights, which never change: taken once, not at every step.
        """
        assert self.norm is not None
        assert self.weight is not None
        gain, shift = self.norm.weight.float(), self.norm.bias.float()
        seen = torch.cat([gain[:, None] * self.weight, torch.ones_like(gain)[:, None]], dim=1)
        back = torch.linalg.pinv(seen)[:-1]  # the last row stands for the mean, which is zero
        return back, (shift @ self.weight) @ back, _unseen(seen)


class UnknownHead(ImageHead):
    """Stands in for an image head that is not there, or that rtd does not know.

    Args:
        why: what is said when a method asks for it.
    """

    def __init__(self, why: str) -> None:
        super().__init__()
        self._why = why

    def forward(self, states: Tensor) -> Tensor:
        """Raises BackboneError."""
        raise BackboneError(self._why)

    def lift(self, vectors: Tensor) -> Tensor:
        """Raises BackboneError."""
        raise BackboneError(self._why)


@torch.no_grad()
def image_head(model: nn.Module) -> ImageHead:
    """The image head of a CLIP model of open_clip or transformers.

    Its scale is that of the states of a picture of noise.

    Raises:
        BackboneError: the image tower is of a kind rtd does not know.
    """
    image_width(model)  # refuses what has no such head
    parts: Any = model
    if has_attention_pool(model):
        return ImageHead(patches=len(parts.visual.attnpool.positional_embedding) - 1)
    if hasattr(parts, "visual_projection"):
        norm, weight = parts.vision_model.post_layernorm, parts.visual_projection.weight.T
        size = parts.config.vision_config.image_size
    else:
        norm, weight = parts.visual.ln_post, parts.visual.proj
        size = parts.visual.image_size
    height, width = (size, size) if isinstance(size, int) else size
    noise = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(FILLING_SEED))
    states = image_states(model, noise.to(weight.device, weight.dtype)).tokens[:, 1:]
    scale = states.float().square().mean().sqrt().item()
    return ImageHead(copy.deepcopy(norm).float(), weight, scale, states.shape[1])


def _shortened(wanted: Tensor, offset: Tensor, width: int) -> Tensor:
    """`s * wanted - offset` with the largest s <= 1 for which the square is at most `width`."""
    a = wanted.square().sum(-1, keepdim=True)
    b = (wanted * offset).sum(-1, keepdim=True)
    c = offset.square().sum() - width
    longest = (b + (b.square() - a * c).clamp_min(0).sqrt()) / a.clamp_min(1e-12)
    return longest.clamp(max=1) * wanted - offset


def _unseen(seen: Tensor) -> Tensor:
    """A fixed unit vector [image width] that `seen` [image width, n] maps to zero."""
    generator = torch.Generator().manual_seed(FILLING_SEED)
    free = torch.randn(len(seen), generator=generator).to(seen)
    free = free - torch.linalg.lstsq(seen, free[:, None]).solution.flatten() @ seen.T
    return torch.nn.functional.normalize(free, dim=0)
