"""Pictures on their way into an index: read, made small and embedded, a batch at a time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from rtd_adapters.errors import EvaluationError
from rtd_adapters.evaluation.image_tower import ImageTower
from rtd_adapters.evaluation.loading import PictureFiles, batches_of
from rtd_adapters.search.index.records import Broken, Row, State
from rtd_adapters.search.index.thumbnails import thumbnail

if TYPE_CHECKING:
    from PIL.Image import Image


class Read(NamedTuple):
    """A picture that was read."""

    pixels: Tensor
    """[3, H, W] as the image tower takes them."""
    width: int
    height: int
    thumbnail: bytes


Batch = tuple[Tensor, list[Read | str]]
"""The pixels of those that could be read, stacked; and for each picture what is known besides, or
what was wrong."""


class OwnPictures(PictureFiles):
    """A list of pictures, of which an index keeps more than the image tower takes."""

    def made_of(self, picture: Image) -> Read:
        """Of an open picture."""
        return Read(self.transform(picture), *picture.size, thumbnail(picture))


def seen(
    pictures: OwnPictures,
    states: Sequence[State],
    tower: ImageTower,
    batch_size: int,
    workers: int,
) -> Iterator[tuple[list[Row], list[Broken]]]:
    """What each batch of pictures gives for the index, in order.

    Args:
        pictures: all of them.
        states: of their files.
        tower: on its device.
        batch_size: pictures at a time.
        workers: processes that read ahead; with 0 this one reads.

    Raises:
        UsageError: this system cannot fork workers.
        EvaluationError: a worker died, an embedding is not finite, or memory does not do.
    """
    ids = pictures.ids
    places = [
        range(len(ids))[start : start + batch_size] for start in range(0, len(ids), batch_size)
    ]
    with warnings.catch_warnings():
        # Workers are forked, and never speak with the store.
        warnings.filterwarnings("ignore", "lancedb fork support")
        batches = batches_of(pictures, places, workers, tower.device, _collated)
        for own, (pixels, items) in zip(places, batches, strict=True):
            rows = _rows(tower, pixels, own, items, ids, states) if len(pixels) else []
            wrong = zip(own, items, strict=True)
            yield rows, [Broken(ids[p], item) for p, item in wrong if isinstance(item, str)]


def _rows(
    tower: ImageTower,
    pixels: Tensor,
    places: range,
    items: list[Read | str],
    ids: Sequence[str],
    states: Sequence[State],
) -> list[Row]:
    embeddings = tower.embeddings(pixels.to(tower.device, non_blocking=True)).cpu()
    read = [
        (place, item) for place, item in zip(places, items, strict=True) if isinstance(item, Read)
    ]
    finite = embeddings.isfinite().all(1)
    if not finite.all():
        place, _ = read[int((~finite).nonzero()[0])]
        raise EvaluationError(
            f"the image tower gives no finite embedding of {ids[place]!r} with --precision "
            f"{tower.precision}. Pass --precision bf16 or no."
        )
    return [
        Row(ids[place], states[place], item.width, item.height, item.thumbnail, row)
        for (place, item), row in zip(read, embeddings.numpy(), strict=True)
    ]


def _collated(items: list[Read | str]) -> Batch:
    read = [item for item in items if isinstance(item, Read)]
    light = [i._replace(pixels=torch.empty(0)) if isinstance(i, Read) else i for i in items]
    return torch.stack([i.pixels for i in read]) if read else torch.empty(0), light
