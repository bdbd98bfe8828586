"""What open_clip's `HFTextEncoder` puts round a transformers model."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from rtd_adapters.clip.text.families.family import Description
from rtd_adapters.errors import BackboneError

TOKENS = 77
"""That open_clip's tokenizers read where a model config says nothing, as for all of these."""
PROJECTIONS = {
    "text_projection": "text.proj.weight",
    "text_projection.0": "text.proj.0",
    "text_projection.2": "text.proj.2",
}
POOLINGS = {"MeanPooler": "mean", "ClsLastHiddenStatePooler": "first"}


def describe(text: Any) -> Description:
    """Pooling, projection and padding."""
    pooler = type(text.pooler).__name__
    if pooler not in POOLINGS:
        raise BackboneError(
            f"open_clip's HFTextEncoder pools by {pooler} here; rtd knows {', '.join(POOLINGS)}."
        )
    return {
        "pooling": POOLINGS[pooler],
        "pad_id": text.config.pad_token_id,
        "projection": _projection(text.proj),
        "context_length": TOKENS,
    }


def encode(model: Any, ids: Tensor) -> Tensor:
    """By open_clip's model."""
    return model.encode_text(ids)


def _projection(module: nn.Module) -> str:
    if isinstance(module, nn.Identity):
        return "none"
    if isinstance(module, nn.Linear) and module.bias is None:
        return "matrix"
    kinds = [type(part) for part in module.children()]
    if kinds == [nn.Linear, nn.GELU, nn.Linear]:
        return "mlp"
    raise BackboneError(
        f"The text tower's projection is a {type(module).__name__} that rtd does not know."
    )
