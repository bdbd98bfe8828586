"""RoBERTa and XLM-RoBERTa behind open_clip's `HFTextEncoder`."""

from __future__ import annotations

from typing import Any

from rtd_adapters.clip.text.families import bert, hf_encoder
from rtd_adapters.clip.text.families.family import Description, Family
from rtd_adapters.clip.text.layout import Layout
from rtd_adapters.errors import BackboneError

MODEL_TYPES = ("roberta", "xlm-roberta")

LAYOUT = Layout(
    "open_clip_roberta",
    marker="text.transformer.embeddings.word_embeddings.weight",
    top={
        "token_embedding": "text.transformer.embeddings.word_embeddings",
        "positional_embedding": "text.transformer.embeddings.position_embeddings.weight",
        "token_type_embedding": "text.transformer.embeddings.token_type_embeddings",
        "ln_embed": "text.transformer.embeddings.LayerNorm",
        **hf_encoder.PROJECTIONS,
    },
    blocks="text.transformer.encoder.layer.",
    parts=bert.parts("attention.self"),
    turned=True,
)


def _describe(model: Any) -> Description:
    text = model.text
    if (kind := text.config.model_type) not in MODEL_TYPES:
        raise BackboneError(
            f"The text tower behind open_clip's HFTextEncoder is a {kind}; rtd knows "
            f"{', '.join(MODEL_TYPES)} and mt5."
        )
    inner = text.transformer
    return {
        **bert.describe(inner.encoder, inner.embeddings.LayerNorm, text.config),
        **hf_encoder.describe(text),
        "first_position": text.config.pad_token_id + 1,
        "token_types": text.config.type_vocab_size,
    }


FAMILY = Family(
    "open_clip with RoBERTa or XLM-RoBERTa",
    found=("text.transformer.encoder.layer", "text.transformer.embeddings.word_embeddings"),
    layout=LAYOUT,
    describe=_describe,
    encode=hf_encoder.encode,
    roots=("text.transformer.", "text.proj."),
    unused=(r"\.position_ids$", r"\.token_type_ids$", r"\.pooler\."),
)
