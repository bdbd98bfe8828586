"""BLIP's contrastive half as transformers writes it (`BlipForImageTextRetrieval`)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from rtd_adapters.clip.text.families import bert
from rtd_adapters.clip.text.families.family import Description, Family
from rtd_adapters.clip.text.layout import Layout

TOKENS = 35
"""That BLIP reads of a caption (its configs/retrieval_coco.yaml and models/blip_retrieval.py)."""

LAYOUT = Layout(
    "blip",
    marker="text_encoder.embeddings.word_embeddings.weight",
    top={
        "token_embedding": "text_encoder.embeddings.word_embeddings",
        "positional_embedding": "text_encoder.embeddings.position_embeddings.weight",
        "ln_embed": "text_encoder.embeddings.LayerNorm",
        "text_projection": "text_proj",
    },
    blocks="text_encoder.encoder.layer.",
    parts=bert.parts("attention.self"),
)


def _describe(model: Any) -> Description:
    text = model.text_encoder
    return {
        **bert.describe(text.encoder, text.embeddings.LayerNorm, text.config),
        "pooling": "first",
        "projection": "linear",
        "context_length": TOKENS,
    }


def _encode(model: Any, ids: Tensor) -> Tensor:
    text = model.text_encoder
    attended = (ids != text.config.pad_token_id).long()
    states = text(input_ids=ids, attention_mask=attended).last_hidden_state
    return model.text_proj(states[:, 0])


FAMILY = Family(
    "transformers BLIP",
    found=("text_encoder.encoder.layer", "text_proj"),
    layout=LAYOUT,
    describe=_describe,
    encode=_encode,
    roots=("text_encoder.", "text_proj."),
    unused=(r"\.crossattention\.", r"\.position_ids$"),
)
