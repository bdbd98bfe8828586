"""Training-free rivals: other queries made of the same pictures and texts, for the same table.

No setting is tuned for a benchmark. All texts are embedded by one tower: the base one, and for PDV
on top of a patch the patched one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rtd_adapters.evaluation.queries import Sides

PARALLEL = 0.9995
"""Cosine from which two directions count as one, as in the repository of Slerp+TAT."""


@dataclass(frozen=True)
class Rival:
    """A way to make queries, with its settings and where it comes from."""

    name: str
    query: Callable[..., Tensor]
    """Makes [Q, embed_dim] of `Sides` and the settings."""
    source: str
    settings: Mapping[str, float] = field(default_factory=dict)

    def __call__(self, sides: Sides) -> Tensor:
        """[Q, embed_dim] query embeddings, not normalised."""
        return self.query(sides, **self.settings)

    @property
    def about(self) -> str:
        """Source and settings in a line."""
        settings = ", ".join(f"{name} {value:g}" for name, value in self.settings.items())
        return f"{self.source}; {settings}" if settings else self.source


def picture_only(sides: Sides) -> Tensor:
    """The reference picture's embedding."""
    return sides.picture


def text_only(sides: Sides) -> Tensor:
    """The conditioning text's embedding, in no prompt."""
    return sides.text


def picture_and_text(sides: Sides) -> Tensor:
    """The sum of both unit embeddings, the "image + text" of CIR papers."""
    return sides.picture + sides.text


def slerp(sides: Sides, alpha: float) -> Tensor:
    """A point of the great circle from picture (alpha 0) to text (alpha 1).

    Jang et al., "Spherical Linear Interpolation and Text-Anchoring for Zero-shot Composed Image
    Retrieval" (ECCV 2024, arXiv 2405.00571):
    sin((1 - alpha) theta) / sin(theta) v + sin(alpha theta) / sin(theta) w. The denominator is left
    out, for only the direction counts; where theta is next to none, a straight line is left.
    """
    cosine = (sides.picture * sides.text).sum(-1, keepdim=True)
    theta = torch.acos(cosine.clamp(-PARALLEL, PARALLEL))
    return torch.sin((1 - alpha) * theta) * sides.picture + torch.sin(alpha * theta) * sides.text


def prompt_directional_vector(
    sides: Sides, beta: float, alpha_image: float, alpha_text: float
) -> Tensor:
    """PDV-F: picture and bare prompt, both moved by what the text does to the prompt, then mixed.

    Tursun et al., "PDV: Prompt Directional Vectors for Zero-shot Composed Image Retrieval"
    (WACV 2026, arXiv 2502.07215), and its authors' README: with unit embeddings and
    delta = composed - bare,
    (1 - beta) (picture + alpha_image delta) + beta (bare + alpha_text delta).
    """
    delta = sides.composed - sides.bare
    image = sides.picture + alpha_image * delta
    text = sides.bare + alpha_text * delta
    return (1 - beta) * image + beta * text


PDV = Rival(
    "pdv",
    prompt_directional_vector,
    "Prompt Directional Vectors, PDV-F (arXiv 2502.07215), settings as for SEARLE on FashionIQ",
    {"beta": 0.8, "alpha_image": 1.2, "alpha_text": 1.0},
)
RIVALS = (
    Rival("picture", picture_only, "the reference picture alone"),
    Rival("text", text_only, "the conditioning text alone, in no prompt"),
    Rival("sum", picture_and_text, "sum of the unit embeddings of picture and text"),
    Rival(
        "slerp",
        slerp,
        "spherical interpolation from picture to text (arXiv 2405.00571), alpha as for CIRCO and "
        "FashionIQ",
        {"alpha": 0.8},
    ),
    PDV,
)
"""By the base tower; `PDV` is made by the patched one besides."""
