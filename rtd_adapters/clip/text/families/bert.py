"""The names of BERT's blocks, which BLIP, BLIP-2 and RoBERTa share."""

from __future__ import annotations

from typing import Any

from torch import nn

from rtd_adapters.clip.text.activations import recognise_activation
from rtd_adapters.clip.text.families.family import Description
from rtd_adapters.clip.text.families.reading import common_eps

OUTSIDE = {
    "attn.out_proj": "attention.output.dense",
    "ln_1": "attention.output.LayerNorm",
    "mlp.c_fc": "intermediate.dense",
    "mlp.c_proj": "output.dense",
    "ln_2": "output.LayerNorm",
}


def parts(attention: str) -> dict[str, str]:
    """The modules of a block whose q, k and v lie in `attention`."""
    inside = {
        "attn.q_proj": f"{attention}.query",
        "attn.k_proj": f"{attention}.key",
        "attn.v_proj": f"{attention}.value",
    }
    return inside | OUTSIDE


def describe(encoder: Any, norm: nn.Module, config: Any) -> Description:
    """What BERT's blocks, the norm of its embeddings and its settings say; padding is masked."""
    norms = [part for layer in encoder.layer for part in (layer.attention, layer.output)]
    return {
        "heads": config.num_attention_heads,
        "activation": recognise_activation(encoder.layer[0].intermediate.intermediate_act_fn),
        "eps": common_eps(norm, *norms),
        "block": "post-norm",
        "embedding_norm": True,
        "mask": "padding",
        "pad_id": config.pad_token_id,
    }
