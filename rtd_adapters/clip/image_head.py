"""The end of an image tower, and the way back through it: from joint-space vectors to states.

Text-only training has no image, so it lifts joint-space vectors to states that would have given
them; that is our own idea. Knows nothing of RTD.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtd_adapters.clip.images import (
    ImageStates,
    has_attention_pool,
    image_states,
    image_width,
)
from rtd_adapters.errors import BackboneError

NOISE_SEED = 0
"""Of the picture of noise whose states give the scale."""
ALIKE = 0.999
"""Cosine of an embedding to what the head makes of the first state; half precision costs 1e-5."""


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
    _back: Tensor | None

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
        self.register_buffer("_back", None, persistent=False)

    def forward(self, states: Tensor) -> Tensor:
        """[..., embed_dim] from [..., image width]."""
        if self.norm is None or self.weight is None:
            return states
        return self.norm(states) @ self.weight

    @torch.no_grad()
    def lift(self, vectors: Tensor) -> Tensor:
        """States [..., image width] whose embeddings point, nearly, along vectors [..., embed_dim].

        `way_back` says how nearly, and why.
        """
        if self.norm is None or self.weight is None:
            return vectors
        if self._back is None:  # solved for when it is first needed, which most methods never do
            self._back = way_back(self.norm.weight, self.weight)
        states = vectors.float() @ self._back
        return self.scale * F.layer_norm(states, states.shape[-1:])

    def lift_pictures(self, vectors: Tensor) -> Tensor:
        """States of pictures [B, 1 + P, image width] from vectors [B, 1 + P, embed_dim], of which
        the first stands for the whole picture and the others for patches."""
        return self.lift(vectors)

    @torch.no_grad()
    def lift_quality(self, vectors: Tensor) -> float:
        """Mean cosine of lifted vectors' embeddings to the vectors [N, embed_dim]; 1 is exact."""
        return F.cosine_similarity(self(self.lift(vectors)), vectors, dim=-1).mean().item()


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
        BackboneError: the image tower is of a kind rtd does not know, or computes something else
            than that kind.
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
    noise = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(NOISE_SEED))
    seen = image_states(model, noise.to(weight.device, weight.dtype))
    states = seen.tokens[:, 1:].float()
    scale = states.square().mean().sqrt().item()
    head = ImageHead(copy.deepcopy(norm).float(), weight, scale, states.shape[1])
    _require_agreement(head, seen)
    return head


def _require_agreement(head: ImageHead, seen: ImageStates) -> None:
    """Check that a tower's own embedding is what the head makes of its first state."""
    made, given = head(seen.tokens[:, 0].float()), seen.embedding.float()
    if not F.cosine_similarity(made, given).min() >= ALIKE:
        raise BackboneError(
            "the image tower makes its embedding of something else than its first state, so a "
            "method that reads its states cannot work with it. Use a ViT or ResNet of CLIP's own "
            "kind."
        )


def way_back(gain: Tensor, weight: Tensor) -> Tensor:
    """[embed_dim, image width], from vectors to states: ridge regression of the head itself.

    It gives the states of mean zero of least |embedding - vector|^2 + ridge * |state|^2. LayerNorm
    makes states of unit mean square, and then the ridge says how far, in mean square, a vector is
    from its picture's embedding. A caption is about as far from its own picture as pictures are
    from each other (in CLIP their cosine is 0.2 to 0.3), so the ridge is the mean square of what
    the head gives. No threshold cuts its spectrum, and no small singular value is inverted.

    The LayerNorm's shift is left out. It is the same for all pictures, and what is common to
    pictures is not common to captions (the modality gap, Liang et al. 2022): taken off a caption,
    it would add to every state what no picture has.

    Args:
        gain: [image width] of the LayerNorm.
        weight: [image width, embed_dim] of the projection.
    """
    seen = gain.cpu().double()[:, None] * weight.cpu().double()
    seen = seen - seen.mean(0)  # of states of mean zero, a common part of the rows sees nothing
    ridge = seen.square().sum() / min(seen.shape)
    gram = seen.T @ seen + ridge * torch.eye(len(seen.T)).to(seen)
    return torch.linalg.solve(gram, seen.T).to(weight)
