"""Texts and pictures as they come in: checked, and cut into batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from rtd_adapters.errors import UsageError, require_number
from rtd_adapters.evaluation.benchmark import EvalQuery

if TYPE_CHECKING:
    from PIL.Image import Image


def require_texts(texts: Sequence[str]) -> None:
    """Refuse what is no list of texts.

    Raises:
        UsageError: it is none; a single text is not taken for its letters.
    """
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise UsageError(f"texts are {type(texts).__name__}; they must be a list of strings.")


def rows_by_batch(count: int, batch_size: int) -> Iterator[slice]:
    """The rows of each batch.

    Raises:
        UsageError: the batch size is below 1.
    """
    require_number("batch_size", batch_size, least=1)
    for start in range(0, count, batch_size):
        yield slice(start, start + batch_size)


def pictures_by_batch(images: Iterable[Image], batch_size: int) -> Iterator[list[Image]]:
    """Pictures, drawn from wherever they come batch by batch.

    Raises:
        UsageError: the batch size is below 1.
    """
    require_number("batch_size", batch_size, least=1)
    left = iter(images)
    while batch := list(islice(left, batch_size)):
        yield batch


def as_queries(texts: Sequence[str]) -> list[EvalQuery]:
    """Of one text each, whose reference is known by its row."""
    return [EvalQuery(str(row), str(row), (text,), ()) for row, text in enumerate(texts)]


def in_rgb(image: Image) -> Image:
    """The picture as image towers take it."""
    return image if image.mode == "RGB" else image.convert("RGB")
