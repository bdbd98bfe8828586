"""States of an image tower, made of a caption: what text-only training shows a projection.

Context-I2W and FTI4CIR read the states of every patch, and a caption has no patches. Its words take
their place: the frozen tower's state of each token, taken to the joint space, given noise like any
reference embedding, and lifted. All of this is our own idea; the paper trains against one-token
projections only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from rtd_adapters.methods import Reference


@torch.no_grad()
def token_states(reference: Reference) -> Tensor:
    """[B, 1 + patches, image width]: the caption as the whole picture, its tokens as patches.

    Tokens are spread evenly over the patches, the last one included: attention is causal, so it has
    seen the whole caption.
    """
    head, tower = reference.image_head, reference.frozen
    ids = reference.tokenizer.encode(reference.captions).to(reference.embedding.device)
    ends = ids.argmax(dim=1)
    tokens = tower.states(ids[:, : int(ends.max()) + 1]) @ tower.text_projection
    # Noise is drawn for the whole context, so it does not depend on which texts share a batch.
    tokens = reference.noise(F.pad(tokens, (0, 0, 0, ids.shape[1] - tokens.shape[1])))
    spread = torch.linspace(0, 1, head.patches, device=ids.device)
    places = 1 + (spread * (ends[:, None] - 2).clamp_min(0)).round().long()
    rows = torch.arange(len(ids), device=ids.device)[:, None]
    vectors = torch.cat([reference.embedding[:, None], tokens[rows, places]], dim=1)
    return head.lift(vectors)


@torch.no_grad()
def caption_states(reference: Reference) -> Tensor:
    """[B, 1 + patches, image width]: the caption as the whole picture and as every patch."""
    whole = reference.image_head.lift(reference.embedding)
    return whole[:, None].expand(-1, 1 + reference.image_head.patches, -1)
