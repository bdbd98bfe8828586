"""By what a CLIP model multiplies its towers' cosines."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn


def logit_scale(model: nn.Module) -> float | None:
    """exp of a live model's learned `logit_scale`, as open_clip and transformers call it; None
    where it has none, or none that is a single number."""
    learned: Any = getattr(model, "logit_scale", None)
    if not isinstance(learned, Tensor) or learned.numel() != 1:
        return None
    return math.exp(learned.item())
