"""BLIP-2's contrastive half as transformers writes it: the Q-Former's way of reading texts
(`Blip2TextModelWithProjection`, `Blip2ForImageTextRetrieval`)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from rtd_adapters.clip.text.families import bert
from rtd_adapters.clip.text.families.family import Description, Family
from rtd_adapters.clip.text.layout import Layout

TOKENS = 32
"""That BLIP-2 reads of a caption (LAVIS, blip2_qformer.py, max_txt_len)."""

LAYOUT = Layout(
    "blip2",
    marker="qformer.layernorm.weight",
    top={
        "token_embedding": "embeddings.word_embeddings",
        "positional_embedding": "embeddings.position_embeddings.weight",
        "ln_embed": "qformer.layernorm",
        "text_projection": "text_projection",
    },
    blocks="qformer.encoder.layer.",
    parts=bert.parts("attention.attention"),
)


def _describe(model: Any) -> Description:
    former = model.qformer
    return {
        **bert.describe(former.encoder, former.layernorm, former.config),
        "pooling": "first",
        "projection": "linear",
        "context_length": TOKENS,
    }


def _encode(model: Any, ids: Tensor) -> Tensor:
    attended = (ids != model.qformer.config.pad_token_id).long()
    embedded = model.embeddings(input_ids=ids)
    states = model.qformer(query_embeds=embedded, query_length=0, attention_mask=attended)
    return model.text_projection(states.last_hidden_state[:, 0])


FAMILY = Family(
    "transformers BLIP-2",
    found=("qformer.encoder.layer", "embeddings.word_embeddings", "text_projection"),
    layout=LAYOUT,
    describe=_describe,
    encode=_encode,
    roots=("embeddings.", "qformer.", "text_projection."),
    unused=(
        r"\.crossattention\.",
        r"\.(intermediate|output)_query\.",
        r"\.position_ids$",
    ),
)
