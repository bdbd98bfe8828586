"""The frozen tower in less than fp32, and what that costs its anchors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.nn.functional import cosine_similarity

from rtd_adapters.clip.text import TextTower, Tokenizer
from rtd_adapters.errors import UsageError
from rtd_adapters.training.anchors import Anchors, Computing
from rtd_adapters.training.settings import FrozenPrecision

SAMPLE = 256
"""Captions that the error is measured on, at most."""


@dataclass(frozen=True)
class AnchorError:
    """How far a sample of anchors is from the same in fp32."""

    precision: FrozenPrecision
    captions: int
    least_cosine: float
    mean_cosine: float
    largest_difference: float
    """Of one coordinate, in units of the anchors' root mean square."""

    def __str__(self) -> str:
        return (
            f"{self.captions} anchors in {self.precision} against fp32: cosine "
            f"{self.mean_cosine:.6f} on average, {self.least_cosine:.6f} at least; a coordinate "
            f"differs by {self.largest_difference:.1e} of their root mean square at most"
        )


def computing_in(precision: FrozenPrecision, device: torch.device) -> Computing:
    """What is entered around the frozen tower.

    Raises:
        UsageError: the device has no such precision.
    """
    if precision == "tf32" and device.type != "cuda":
        raise UsageError(f"--frozen-precision tf32 is for NVIDIA GPUs; this run is on {device}.")
    contexts = {"fp32": _fp32, "tf32": _tf32, "bf16": lambda: _bf16(device)}
    return contexts[precision]


def anchor_error(
    tower: TextTower, tokenizer: Tokenizer, captions: Sequence[str], precision: FrozenPrecision
) -> AnchorError:
    """Measure it on some captions.

    Args:
        tower: the frozen one, on the run's device.
        tokenizer: the method's.
        captions: cleaned; the first `SAMPLE` distinct ones count.
        precision: that the run's anchors are computed in.
    """
    sample = list(dict.fromkeys(captions))[:SAMPLE]
    exact = Anchors(tower, tokenizer)(sample)
    coarse = Anchors(tower, tokenizer, computing=computing_in(precision, tower.device))(sample)
    cosines = cosine_similarity(exact.double(), coarse.double(), dim=-1)
    unit = exact.double().square().mean().sqrt()
    return AnchorError(
        precision,
        len(sample),
        cosines.min().item(),
        cosines.mean().item(),
        ((exact - coarse).abs().max() / unit).item(),
    )


@contextmanager
def _fp32() -> Iterator[None]:
    yield


@contextmanager
def _tf32() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


@contextmanager
def _bf16(device: torch.device) -> Iterator[None]:
    with torch.autocast(device.type, torch.bfloat16):
        yield
