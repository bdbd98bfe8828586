"""Whether captions can stand in for a picture's states: how well a backbone lifts them."""

from __future__ import annotations

from collections.abc import Sequence

from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.methods.method import STAND_IN, Method
from rtd_adapters.triplets import Triplet

CAPTIONS = 64
LIFTED = ("tokens", "caption")
"""The stand-ins that are lifted."""
BAR = 0.6
"""Least cosine of lifted captions' embeddings to the captions'.

The lift finds the right state on every head of examples/benchmarks/lift.md, where the cosine is
0.71 at least. In a miniature ViT it was 0.98; with a modality gap of 0.875 put into its LayerNorm's
shift it was 0.51, and Context-I2W gained 3 points of R@1 in place of 8 (one seed).
"""


def lift_note(method: Method, backbone: Backbone, triplets: Sequence[Triplet]) -> str | None:
    """What to say where a backbone lifts captions badly; None where it does not, or need not.

    Args:
        method: says by its stand-in whether captions are lifted.
        backbone: whose image head lifts them.
        triplets: of which the first reference captions are tried.
    """
    if method.stand_in not in LIFTED:
        return None
    captions = [triplet.reference for triplet in triplets[:CAPTIONS]]
    quality = backbone.image_head.lift_quality(backbone.embed_captions(captions))
    if quality >= BAR:
        return None
    others = [name for name in method.options[STAND_IN].choices if name not in LIFTED]
    advice = f" Try --stand-in {' or '.join(reversed(others))} too." if others else ""
    return (
        f"warning: {backbone.label} does not lift captions to image states well: their embeddings "
        f"have cosine {quality:.2f} to the captions' (below {BAR}), so the stand-in "
        f"{method.stand_in} may do harm.{advice}"
    )
