"""The frozen text tower that similarities between captions are measured with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtd_adapters.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from rtd_adapters.clip.text import Vocabulary

Embed = Callable[[Sequence[str]], "Tensor"]
"""N texts to their [N, embed_dim] embeddings by the frozen text tower."""


@dataclass(frozen=True)
class CaptionEncoder:
    """A frozen text tower, an `Embed`."""

    embed: Embed
    context_length: int
    """Tokens it reads of a text, both ends included."""
    vocabulary: Vocabulary
    """Of which tokens."""

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """[N, embed_dim] of N texts."""
        return self.embed(texts)


def caption_encoder(backbone: str | None, pretrained: str | None = None) -> CaptionEncoder | None:
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

    loaded = load_backbone(backbone, pretrained).drop_images()
    tower = loaded.tower
    return CaptionEncoder(loaded.embed_captions, tower.config.context_length, tower.vocabulary)
