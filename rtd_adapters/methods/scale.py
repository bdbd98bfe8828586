"""Whether a projection's pseudo tokens are of the size of word embeddings.

Every method here hands its projection unnormalised embeddings, whose norm is about ten in CLIP. A
projection that was trained on unit vectors takes them without a word and gives pseudo tokens many
times too long, which drown the words of the prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from rtd_adapters.methods.projection_files import base_of
from rtd_adapters.methods.stand_ins import CaptionSide

if TYPE_CHECKING:
    from pathlib import Path

    from rtd_adapters.clip.backbones import Backbone
    from rtd_adapters.methods.method import Method

PROBES = (
    "a photo of a dog",
    "two red stars on a dark wall",
    "a small green circle",
    "a woman in a blue dress",
)
TEXT = "is red"
BAND = (0.5, 60.0)
"""Least and greatest ratio of the median norms of pseudo tokens and of token embeddings.

Measured in the built-in world on `PROBES`: its trained projections give 4 to 31, KEDs' 2.8, whose
tokens of neighbours are shorter than its own, and untrained ones of SEARLE's, Pic2Word's and KEDs'
kind 1.6 to 2.9. The band leaves a factor of two above the former and of three below the latter. Ten
times too long an input makes tokens about ten times as long in nearly linear networks, which takes
a projection of the usual 4 to 31 to 40 to 310. The band is for gross mistakes: a token within it
may still be wrong. LinCIR's own training, on captions with noise, gives sound ones of 122 there.
"""


def foreign_scale_note(
    path: Path, method: Method, projection: nn.Module, backbone: Backbone
) -> str | None:
    """`scale_note` of a projection in a file; None where the file names the tower that it was
    trained against: then rtd trained it, on the embeddings that it gives.

    Raises:
        FileError: as `about_projection`.
    """
    return None if base_of(path) else scale_note(method, projection, backbone)


@torch.no_grad()
def scale_note(method: Method, projection: nn.Module, backbone: Backbone) -> str | None:
    """What to say where pseudo tokens are of another size than the backbone's words; None where
    they are not, or where the method has none.

    Args:
        method: whose queries are composed, of captions and without noise.
        projection: the method's, for this backbone.
        backbone: whose token table is the measure; rows of zeros, which no text uses, are left out.
    """
    tower = backbone.tower
    tokenizer = method.tokenizer(tower)
    side = CaptionSide(tower, tokenizer, backbone.image_head, lambda vectors: vectors)
    reference = side.reference(method, PROBES, backbone.embed_captions(PROBES), tower)
    queries = method.composed(projection, reference, [TEXT] * len(PROBES)).queries
    tokens = [query.pseudo_tokens for query in queries if query.pseudo_tokens is not None]
    if not tokens:
        return None
    own = torch.cat([_norms(part) for part in tokens]).median().item()
    words = _norms(tower.token_embedding.weight).median().item()
    if BAND[0] <= own / words <= BAND[1]:
        return None
    cause = (
        "It was probably trained on normalised embeddings, and rtd gives it unnormalised ones"
        if own > words
        else "It is probably untrained, or was trained for another backbone"
    )
    return (
        f"warning: the projection's pseudo tokens have norm {own:.3g}, the backbone's token "
        f"embeddings {words:.3g} (medians). {cause}: figures will be bad. Pass the projection that "
        f"belongs to {method.name} and {backbone.label}, or normalise in pseudo_tokens."
    )


def _norms(vectors: torch.Tensor) -> torch.Tensor:
    """Of all vectors [..., width] that are not zero."""
    norms = vectors.float().norm(dim=-1).flatten()
    used = norms[norms > 0]
    return used if len(used) else norms[:1]
