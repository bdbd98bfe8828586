"""Pictures through an image tower: opened ones in, embeddings out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.clip.images import ImageStates, image_embeddings, image_states
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
        UsageError: there is no such preprocessing, or the backbone has no image tower.
    """
    require_preprocessing(preprocess)
    starts = range(0, len(pictures), batch_size)
    rows = [
        picture_embeddings(backbone, pictures[start : start + batch_size], preprocess)
        for start in starts
    ]
    return torch.cat(rows) if rows else torch.empty(0, backbone.shape.embed_dim)


@torch.no_grad()
def picture_embeddings(
    backbone: Backbone, pictures: Sequence[Image], preprocess: str = "clip"
) -> Tensor:
    """[B, embed_dim] of one batch of pictures; arguments and errors as in `embed_pictures`."""
    return image_embeddings(*_prepared(backbone, pictures, preprocess))


@torch.no_grad()
def picture_states(
    backbone: Backbone, pictures: Sequence[Image], preprocess: str = "clip"
) -> ImageStates:
    """Embeddings and states of one batch of pictures; arguments as in `embed_pictures`.

    Raises:
        UsageError: the backbone has no image tower.
        BackboneError: the image tower has no states that rtd knows.
    """
    return image_states(*_prepared(backbone, pictures, preprocess))


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


def picture_transform(backbone: Backbone, preprocess: str) -> Callable[[Image], Tensor]:
    """What makes of a picture [3, H, W] what the backbone's image tower takes.

    Raises:
        UsageError: the backbone has no image tower.
    """
    transform = backbone.images()[1]

    def pixels(picture: Image) -> Tensor:
        return _pixels(transform, padded(picture) if preprocess == "targetpad" else picture)

    return pixels


def _prepared(
    backbone: Backbone, pictures: Sequence[Image], preprocess: str
) -> tuple[nn.Module, Tensor]:
    """The live model, and the pictures [B, 3, H, W] as it takes them."""
    model, transform = backbone.images()[0], picture_transform(backbone, preprocess)
    pixels = torch.stack([transform(picture) for picture in pictures])
    return model, pixels.to(next(model.parameters()).device)


def _pixels(transform: Callable[..., Any], picture: Image) -> Tensor:
    """[3, H, W] by a transform of open_clip or an image processor of transformers."""
    pixels = transform(picture)
    return pixels if isinstance(pixels, Tensor) else pixels["pixel_values"][0]
