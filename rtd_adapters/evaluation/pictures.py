"""Pictures through an image tower: opened ones in, embeddings out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.clip.images import ImageStates, image_states
from rtd_adapters.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

PREPROCESSING = ("clip", "targetpad")
TARGET_RATIO = 1.25
"""How far from a square a picture may be before SEARLE's `targetpad` pads it."""


def require_preprocessing(name: str) -> None:
    """Refuse a preprocessing that is none.

    Raises:
        UsageError: it is not among `PREPROCESSING`.
    """
    if name not in PREPROCESSING:
        raise UsageError(f"Unknown preprocessing {name!r}. Use one of {', '.join(PREPROCESSING)}.")


def embed_pictures(
    backbone: Backbone,
    pictures: Sequence[Image],
    *,
    preprocess: str = "clip",
    batch_size: int = 64,
) -> Tensor:
    """[N, embed_dim] embeddings of pictures, unnormalised, as `evaluate` makes a gallery's.

    Args:
        backbone: with its image tower.
        pictures: N of them, in RGB.
        preprocess: `clip`, the tower's own transform, or `targetpad`, SEARLE's: pictures are first
            padded with black until no side is more than 1.25 times the other.
        batch_size: pictures at a time.

    Raises:
        UsageError: there is no such preprocessing, or the backbone's images were dropped.
    """
    require_preprocessing(preprocess)
    starts = range(0, len(pictures), batch_size)
    rows = [
        picture_states(backbone, pictures[start : start + batch_size], preprocess).embedding
        for start in starts
    ]
    return torch.cat(rows) if rows else torch.empty(0, backbone.shape.embed_dim)


@torch.no_grad()
def picture_states(
    backbone: Backbone, pictures: Sequence[Image], preprocess: str = "clip"
) -> ImageStates:
    """Embeddings and states of one batch of pictures; arguments as in `embed_pictures`.

    Raises:
        UsageError: the backbone's images were dropped.
    """
    model, transform = backbone.model, backbone.preprocess
    if model is None or transform is None:
        raise UsageError(
            f"the backbone {backbone.label} has no image tower any more (drop_images). "
            "Load it again with load_backbone."
        )
    opened = map(padded, pictures) if preprocess == "targetpad" else pictures
    pixels = torch.stack([_pixels(transform, picture) for picture in opened])
    return image_states(model, pixels.to(next(model.parameters()).device))


def padded(picture: Image) -> Image:
    """The picture in the middle of a black frame, if one side is over 1.25 times the other.

    The padding is that of SEARLE's `TargetPad` (src/data_utils.py): the longer side over 1.25 is
    the shorter one's new length.
    """
    from PIL import Image as images

    width, height = picture.size
    if max(width, height) / min(width, height) < TARGET_RATIO:
        return picture
    side = max(width, height) / TARGET_RATIO
    across, down = max(int((side - width) / 2), 0), max(int((side - height) / 2), 0)
    frame = images.new("RGB", (width + 2 * across, height + 2 * down))
    frame.paste(picture, (across, down))
    return frame


def _pixels(transform: Callable[..., Any], picture: Image) -> Tensor:
    """[3, H, W] by a transform of open_clip or an image processor of transformers."""
    pixels = transform(picture)
    return pixels if isinstance(pixels, Tensor) else pixels["pixel_values"][0]
