"""Pictures from their files to an image tower's input, in this process or in workers."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from rtd_adapters.errors import EvaluationError, FileError, UsageError, first_line

if TYPE_CHECKING:
    from PIL.Image import Image

Item = TypeVar("Item")
Batch = TypeVar("Batch")
Loaded = tuple[Tensor, list[str | None]]
"""The pictures of a batch that could be read, stacked, and for each picture what was wrong."""


@dataclass(frozen=True)
class PictureFiles(Dataset[Any]):
    """A list of pictures, opened one at a time.

    Args:
        ids: of the pictures.
        open_image: the picture of an id.
        transform: what the image tower takes, of a picture.
    """

    ids: Sequence[str]
    open_image: Callable[[str], Image]
    transform: Callable[[Image], Tensor]

    def __getitem__(self, place: int) -> Any:
        """What is made of the picture at a place of the list, or what is wrong with it: an
        exception would lose its words on the way out of a worker."""
        try:
            return self.made_of(self.open_image(self.ids[place]))
        except FileError as error:
            return str(error)

    def made_of(self, picture: Image) -> Any:
        """[3, H, W] of an open picture."""
        return self.transform(picture)

    def batches(
        self, places: Sequence[range], workers: int, device: torch.device
    ) -> Iterator[Loaded]:
        """Batches of pictures, in order.

        Args:
            places: of each batch's pictures in the list.
            workers: processes that read ahead; with 0 this one reads.
            device: where the batches will go; for cuda they lie in pinned memory.

        Raises:
            UsageError: this system cannot fork workers.
            EvaluationError: a worker died.
        """
        return batches_of(self, places, workers, device, _collated)


def batches_of(
    dataset: Dataset[Item],
    places: Sequence[range],
    workers: int,
    device: torch.device,
    collated: Callable[[list[Item]], Batch],
) -> Iterator[Batch]:
    """Batches of what is made of pictures, in order; arguments and errors as in `PictureFiles`.

    Args:
        collated: makes a batch of its items.
    """
    loader = DataLoader(
        dataset,
        batch_sampler=places,  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=collated,
        pin_memory=device.type == "cuda",
        # Benchmarks open pictures by closures, which no other way of starting takes along.
        multiprocessing_context=_fork() if workers else None,
        # The loader draws a seed, which is not to come from the run's own numbers.
        generator=torch.Generator(),
    )
    try:
        yield from loader
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise EvaluationError(
            f"a process that reads pictures died ({first_line(error)}). It may be short of "
            "memory: pass fewer --workers, or --workers 0."
        ) from error


def _collated(items: list[Tensor | str]) -> Loaded:
    read = [item for item in items if isinstance(item, Tensor)]
    wrong = [None if isinstance(item, Tensor) else item for item in items]
    return torch.stack(read) if read else torch.empty(0), wrong


def _fork() -> Any:
    if "fork" not in multiprocessing.get_all_start_methods():
        raise UsageError("--workers needs a system that can fork. Pass --workers 0.")
    return multiprocessing.get_context("fork")
