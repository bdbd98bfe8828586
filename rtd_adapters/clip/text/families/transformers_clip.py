"""CLIP as transformers writes it, whose modules SigLIP and MetaCLIP 2 share."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from rtd_adapters.clip.text.families.family import Description, Family
from rtd_adapters.clip.text.families.reading import (
    activation_in,
    common_eps,
    end_of_text,
    features,
)
from rtd_adapters.clip.text.layout import Layout

LEGACY_EOS = 2
"""The wrong id of early configs, for which transformers reads the largest id (its PR 24773)."""
FOUND = ("text_model.encoder.layers",)
ROOTS = ("text_model.", "text_projection")
UNUSED = (r"\.position_ids$",)

HF = Layout(
    "hf",
    marker="text_model.embeddings.token_embedding.weight",
    top={
        "token_embedding": "text_model.embeddings.token_embedding",
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
        "ln_final": "text_model.final_layer_norm",
        "text_projection.weight": "text_model.head.weight",
        "text_projection.bias": "text_model.head.bias",
        "text_projection": "text_projection.weight",
    },
    blocks="text_model.encoder.layers.",
    parts={
        "ln_1": "layer_norm1",
        "attn.q_proj": "self_attn.q_proj",
        "attn.k_proj": "self_attn.k_proj",
        "attn.v_proj": "self_attn.v_proj",
        "attn.out_proj": "self_attn.out_proj",
        "ln_2": "layer_norm2",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
    },
    turned=True,
)


def describe(model: Any) -> Description:
    """What the blocks say of themselves."""
    text = model.text_model
    layer = text.encoder.layers[0]
    return {
        "heads": layer.self_attn.num_heads,
        "activation": activation_in(layer.mlp),
        "eps": common_eps(text.encoder, text.final_layer_norm),
    }


def encode(model: Any, ids: Tensor) -> Tensor:
    """By a whole model, or by a text model with projection."""
    if hasattr(model, "get_text_features"):
        return features(model.get_text_features(input_ids=ids))
    return model(input_ids=ids).text_embeds


def _clip(model: Any) -> Description:
    config = model.text_model.config
    legacy = config.eos_token_id == LEGACY_EOS
    pooling = {} if legacy else end_of_text(config.eos_token_id, config.vocab_size)
    return {**describe(model), **pooling}


FAMILY = Family(
    "transformers CLIP",
    found=FOUND,
    types=("clip_text_model",),
    layout=HF,
    describe=_clip,
    encode=encode,
    roots=ROOTS,
    unused=UNUSED,
)
