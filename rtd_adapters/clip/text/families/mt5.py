"""mT5's encoder behind open_clip's `HFTextEncoder`."""

from __future__ import annotations

from typing import Any

from rtd_adapters.clip.text.activations import recognise_activation
from rtd_adapters.clip.text.attention import MAX_DISTANCE
from rtd_adapters.clip.text.families import hf_encoder
from rtd_adapters.clip.text.families.family import Description, Family
from rtd_adapters.clip.text.families.reading import common_eps
from rtd_adapters.clip.text.layout import Layout
from rtd_adapters.errors import BackboneError

LAYOUT = Layout(
    "open_clip_mt5",
    marker="text.transformer.embed_tokens.weight",
    top={
        "token_embedding": "text.transformer.embed_tokens",
        "relative_attention_bias": (
            "text.transformer.block.0.layer.0.SelfAttention.relative_attention_bias"
        ),
        "ln_final": "text.transformer.final_layer_norm",
        **hf_encoder.PROJECTIONS,
    },
    blocks="text.transformer.block.",
    parts={
        "ln_1": "layer.0.layer_norm",
        "attn.q_proj": "layer.0.SelfAttention.q",
        "attn.k_proj": "layer.0.SelfAttention.k",
        "attn.v_proj": "layer.0.SelfAttention.v",
        "attn.out_proj": "layer.0.SelfAttention.o",
        "ln_2": "layer.1.layer_norm",
        "mlp.c_fc": "layer.1.DenseReluDense.wi_0",
        "mlp.c_gate": "layer.1.DenseReluDense.wi_1",
        "mlp.c_proj": "layer.1.DenseReluDense.wo",
    },
    turned=True,
)


def _describe(model: Any) -> Description:
    stack = model.text.transformer
    config = stack.config
    if not config.is_gated_act or config.relative_attention_max_distance != MAX_DISTANCE:
        raise BackboneError(
            "The T5 behind open_clip's HFTextEncoder has no gated MLP, or tells distances apart "
            f"beyond {MAX_DISTANCE}; rtd knows mT5's encoder."
        )
    return {
        **hf_encoder.describe(model.text),
        "heads": config.num_heads,
        "activation": recognise_activation(stack.block[0].layer[1].DenseReluDense.act),
        "eps": common_eps(stack),
        "block": "t5",
        "positions": "relative",
        "mask": "padding",
    }


FAMILY = Family(
    "open_clip with mT5",
    found=("text.transformer.block", "text.transformer.embed_tokens"),
    layout=LAYOUT,
    describe=_describe,
    encode=hf_encoder.encode,
    roots=("text.transformer.", "text.proj."),
)
