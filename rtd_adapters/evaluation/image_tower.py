"""An image tower in the precision that was asked for, and in batches that its device can hold."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from rtd_adapters.clip.images import ImageStates, image_embeddings, image_states
from rtd_adapters.clip.precisions import dtype_named
from rtd_adapters.errors import EvaluationError, UsageError

PRECISIONS = ("no", "fp16", "bf16")
Seen = TypeVar("Seen")


def require_precision(name: str) -> None:
    """Refuse a precision that is none.

    Raises:
        UsageError: it is not among `PRECISIONS`.
    """
    if name not in PRECISIONS:
        raise UsageError(f"Unknown precision {name!r}. Use one of {', '.join(PRECISIONS)}.")


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """What is entered to compute on a device in one of `PRECISIONS`."""
    if precision == "no":
        return torch.autocast(device.type, enabled=False)
    return torch.autocast(device.type, dtype_named(precision))


@dataclass
class ImageTower:
    """A live model, for pictures.

    Where the device's memory does not do for a batch, the tower takes half as many pictures at a
    time, from then on, and says so.

    Args:
        model: on its device.
        precision: of autocast, one of `PRECISIONS`; embeddings are fp32 regardless.
    """

    model: nn.Module
    precision: str = "no"
    most: int | None = None
    """Pictures at a time at most, once memory has run out; None before that."""

    @property
    def device(self) -> torch.device:
        """Where pictures are to go."""
        return next(self.model.parameters()).device

    def embeddings(self, pixels: Tensor) -> Tensor:
        """[B, embed_dim] of pictures [B, 3, H, W], in fp32, not normalised.

        Raises:
            EvaluationError: there is no memory for a single picture.
        """
        return torch.cat(self._see(image_embeddings, pixels)).float()

    def states(self, pixels: Tensor) -> ImageStates:
        """Embeddings and states of pictures [B, 3, H, W], in fp32.

        Raises:
            EvaluationError: there is no memory for a single picture.
            BackboneError: the image tower has no states that rtd knows.
        """
        seen = self._see(image_states, pixels)
        return ImageStates(
            torch.cat([part.embedding for part in seen]).float(),
            torch.cat([part.tokens for part in seen]).float(),
        )

    @torch.no_grad()
    def _see(self, look: Callable[[nn.Module, Tensor], Seen], pixels: Tensor) -> list[Seen]:
        size = most = self.most or len(pixels)
        while True:
            try:
                with autocast(self.device, self.precision):
                    seen = [look(self.model, part) for part in pixels.split(size)]
                break
            except torch.cuda.OutOfMemoryError as error:
                if size == 1:
                    raise EvaluationError(
                        f"{self.device} has no memory for a single picture. Free some of it, or "
                        "pass --precision bf16 or --device cpu."
                    ) from error
                size = max(min(size, len(pixels)) // 2, 1)
            torch.cuda.empty_cache()
        if size < most:
            self.most = size
            warnings.warn(
                f"{self.device} has no memory for {most} pictures at a time; the image tower goes "
                f"on with {size}. --batch-size {size} says so from the start.",
                stacklevel=2,
            )
        return seen
