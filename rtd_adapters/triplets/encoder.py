"""The frozen text tower that similarities between captions are measured with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rtd_adapters.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

Embed = Callable[[Sequence[str]], "Tensor"]
"""N texts to their [N, embed_dim] embeddings by the frozen text tower."""


def caption_encoder(backbone: str | None, pretrained: str | None = None) -> Embed | None:
    """A backbone's frozen text tower; None where no backbone is named.

    Raises:
        UsageError: weights are named without a backbone.
        BackboneError: as `load_backbone`.
    """
    if backbone is None:
        if pretrained:
            raise UsageError("--pretrained needs --backbone.")
        return None
    from rtd_adapters.clip.backbones import load_backbone

    return load_backbone(backbone, pretrained).drop_images().embed_captions
