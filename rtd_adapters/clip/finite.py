"""Weights that are no numbers: one NaN makes every embedding NaN, and no ranking says so."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of the first tensor that holds NaN or infinity, if one does."""
    return next((name for name, tensor in tensors.items() if not tensor.isfinite().all()), None)
