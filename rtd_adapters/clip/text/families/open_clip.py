"""CLIP as OpenAI and open_clip write it: EVA, DFN, MetaCLIP, CLIPA, MobileCLIP, PE-Core, SigLIP,
CoCa, Long-CLIP and others, whose text towers differ by attributes that are read here."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from rtd_adapters.clip.text.families.family import Description, Family
from rtd_adapters.clip.text.families.reading import activation_in, common_eps, end_of_text
from rtd_adapters.clip.text.layout import Layout
from rtd_adapters.errors import BackboneError

POOLINGS = ("argmax", "first", "last")
OWN = (
    "token_embedding",
    "positional_embedding",
    "positional_embedding_res",
    "cls_emb",
    "ln_final",
    "text_projection",
)
ROOTS = ("cls_emb", "token_", "positional_", "transformer.", "ln_final.", "text_projection")

OPENAI = Layout(
    "openai",
    marker="token_embedding.weight",
    top={name: name for name in OWN},
    blocks="transformer.resblocks.",
    fused=True,
)
OPEN_CLIP_CUSTOM = Layout(
    "open_clip_custom",
    marker="text.token_embedding.weight",
    top={name: f"text.{name}" for name in OWN},
    blocks="text.transformer.resblocks.",
    fused=True,
)


def describe(text: Any) -> Description:
    """What an OpenAI-like text tower, or a CLIP that holds one, says of itself."""
    block = text.transformer.resblocks[0]
    return {
        "heads": block.attn.num_heads,
        "activation": activation_in(block.mlp),
        "eps": common_eps(text.transformer, text.ln_final),
        "positions": "stretched" if hasattr(text, "positional_embedding_res") else "table",
        "projection": _projection(text.text_projection),
        **_mask(text, block),
        **_pooling(text),
    }


def _mask(text: Any, block: Any) -> Description:
    mask = getattr(text, "attn_mask", None)
    mask = getattr(block, "attn_mask", None) if mask is None else mask
    if getattr(text, "cls_emb", None) is not None:
        if text.correct_cls_mask or mask is None:
            raise BackboneError(
                "The text tower masks padding for an appended token at its own place "
                "(correct_cls_mask), or looks ahead; rtd knows CoCa's causal mask, a place late."
            )
        return {"mask": "coca", "pad_id": text.pad_id}
    if mask is not None:
        return {"mask": "causal"}
    if getattr(text, "use_pad_mask", False):
        return {"mask": "padding", "pad_id": text.pad_id}
    return {"mask": "none"}


def _pooling(text: Any) -> Description:
    if getattr(text, "cls_emb", None) is not None:
        return {"pooling": "appended"}
    pooling = getattr(text, "text_pool_type", getattr(text, "pool_type", "argmax"))
    if pooling == "eos":
        eos_id: int = text.text_eos_id if hasattr(text, "text_eos_id") else text.eos_id
        return end_of_text(eos_id, len(text.token_embedding.weight))
    if pooling not in POOLINGS:
        raise BackboneError(
            f"The text tower pools by {pooling!r}; rtd knows {', '.join(POOLINGS)} and eos."
        )
    return {"pooling": pooling}


def _projection(projection: Any) -> str:
    if projection is None:
        return "none"
    if isinstance(projection, Tensor):
        return "matrix"
    if isinstance(projection, nn.Linear) and projection.bias is not None:
        return "linear"
    raise BackboneError(
        f"The text tower's projection is a {type(projection).__name__}; rtd knows a matrix, a "
        "linear layer with bias, and none."
    )


def _encode(model: Any, ids: Tensor) -> Tensor:
    return model.encode_text(ids)


CUSTOM = Family(
    "open_clip CustomTextCLIP or CoCa",
    found=("text.transformer.resblocks", "text.token_embedding"),
    layout=OPEN_CLIP_CUSTOM,
    describe=lambda model: describe(model.text),
    encode=_encode,
    roots=tuple(f"text.{root}" for root in ROOTS),
)
PLAIN = Family(
    "OpenAI clip, open_clip CLIP",
    found=("transformer.resblocks", "token_embedding"),
    layout=OPENAI,
    describe=describe,
    encode=_encode,
    roots=ROOTS,
)
