"""A tiny model of every family and variant, as its own library builds it."""

from __future__ import annotations

from functools import partial
from typing import Any

import transformers
from tower_builders import (
    COCA_VISION,
    SMALL_VIT,
    Maker,
    blip2_case,
    blip_case,
    long_clip,
    open_clip_case,
    openai_case,
    transformers_case,
)
from tower_case import Case, WordIds

SIZE = 400
CLIP = partial(WordIds, SIZE, begin=SIZE - 2, end=SIZE - 1)
BERT = partial(WordIds, SIZE, begin=101, end=102)
ROBERTA = partial(WordIds, SIZE, begin=0, end=2, pad=1)
T5 = partial(WordIds, SIZE, end=1, pad=0)
SIGLIP = partial(WordIds, SIZE, end=1, pad=1)
GEMMA = partial(WordIds, SIZE, begin=2, end=1, pad=0)
STRIPPED_BERT = partial(WordIds, SIZE, begin=101, end=0)
"""Of CLIPA, whose text ends with padding in place of BERT's last token."""

TEXT = {"width": 32, "heads": 2, "layers": 2, "context_length": 20}
NO_MASK = {"no_causal_mask": True}
SIGLIP_TEXT = {**NO_MASK, "pool_type": "last", "proj_bias": True, "norm_kwargs": {"eps": 1e-6}}
TIMM = {"timm_model_name": "test_vit", "timm_pool": "", "timm_proj": "linear", "image_size": 160}
CONVNEXT = {**TIMM, "timm_model_name": "test_convnext"}
COCA = {
    "custom_text": True,
    "vision_cfg": {**COCA_VISION, "attn_pooler_heads": 2},
    "multimodal_cfg": {**TEXT, "vocab_size": SIZE, "layers": 1},
}
BLOCKS = {
    "vocab_size": SIZE,
    "hidden_size": 32,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
LAYERS = {**BLOCKS, "max_position_embeddings": 20, "projection_dim": 24, "projection_size": 24}


def _open_clip(words: Any, text: dict[str, Any] | None = None, **config: Any) -> Any:
    whole = {"embed_dim": 24, "text_cfg": {**TEXT, **(text or {})}, **config}
    return lambda name: open_clip_case(name, whole, words())


def _hf_encoder(words: Any, text_model: Any, **text: Any) -> Any:
    config = {"embed_dim": 24, "text_cfg": {"hf_pooler_type": "mean_pooler", **text}}
    return lambda name: open_clip_case(name, config, words(), text_model)


def _whole(kind: str, words: Any, **text: Any) -> Any:
    """A model of transformers with both towers."""

    def make(name: str) -> Case:
        config = getattr(transformers, f"{kind}Config")(
            text_config={**LAYERS, **text}, vision_config=SMALL_VIT, projection_dim=24
        )
        return transformers_case(name, getattr(transformers, f"{kind}Model")(config), words(), 20)

    return make


def _text_only(kind: str, words: Any, **text: Any) -> Any:
    """The text side of one alone."""

    def make(name: str) -> Case:
        config = getattr(transformers, f"{kind}TextConfig")(**LAYERS, **text)
        model = getattr(transformers, f"{kind}TextModelWithProjection")(config)
        return transformers_case(name, model, words(), 20)

    return make


def _blip(name: str) -> Case:
    text = {**BLOCKS, "encoder_hidden_size": 64, "max_position_embeddings": 60}
    config = transformers.BlipConfig(
        text_config={**text, "bos_token_id": 1, "eos_token_id": 2},
        vision_config=SMALL_VIT,
        image_text_hidden_size=24,
    )
    return blip_case(name, transformers.BlipForImageTextRetrieval(config), BERT())


def _blip2(name: str, *, pictures: bool) -> Case:
    text = {**BLOCKS, "encoder_hidden_size": 64, "max_position_embeddings": 60}
    config = transformers.Blip2Config(
        qformer_config={**text, "use_qformer_text_input": True},
        vision_config=SMALL_VIT,
        image_text_hidden_size=24,
        num_query_tokens=4,
    )
    kind = "Blip2ForImageTextRetrieval" if pictures else "Blip2TextModelWithProjection"
    return blip2_case(name, getattr(transformers, kind)(config), BERT(), pictures=pictures)


def _padding_masked(**text: Any) -> Any:
    """open_clip's `use_pad_mask`, which its configs cannot ask for before 4.0."""

    def make(name: str) -> Case:
        case = _open_clip(CLIP, {**NO_MASK, **text}, custom_text=True)(name)
        case.model.text.use_pad_mask = True
        return case

    return make


def _openai(name: str) -> Case:
    from clip.model import CLIP as Model

    return openai_case(name, Model(24, 32, 1, 64, 16, 77, SIZE, 32, 2, 2), CLIP())


ROBERTA_SIZES = {**BLOCKS, "max_position_embeddings": 90, "type_vocab_size": 1, "pad_token_id": 1}
MT5 = transformers.MT5Config(
    vocab_size=SIZE, d_model=32, d_ff=48, num_layers=2, num_heads=4, d_kv=6
)

_MAKERS = {
    "OpenAI clip": _openai,
    "open_clip CLIP": _open_clip(CLIP),
    "open_clip CLIP, QuickGELU": _open_clip(CLIP, quick_gelu=True),
    "open_clip ConvNeXt CLIP": _open_clip(
        CLIP, vision_cfg={**TIMM, "timm_model_name": "test_convnext"}
    ),
    "open_clip EVA-02, ViTamin": _open_clip(CLIP, custom_text=True, vision_cfg=TIMM),
    "open_clip PE-Core, 32 tokens": _open_clip(CLIP, {"context_length": 32}, custom_text=True),
    "open_clip PE-Core, 72 tokens": _open_clip(CLIP, {"context_length": 72}, custom_text=True),
    "open_clip MobileCLIP-S, MobileCLIP2-S": _open_clip(CLIP, NO_MASK, custom_text=True),
    "open_clip MobileCLIP-B": _open_clip(CLIP, {"no_causal_mask": False}, custom_text=True),
    "open_clip CLIPA": _open_clip(STRIPPED_BERT, {**NO_MASK, "pool_type": "last"}),
    "open_clip MetaCLIP 2, mT5's tokens": _open_clip(T5, {"pool_type": "eos", "eos_id": 1}),
    "open_clip MetaCLIP 2, XLM-V's tokens": _open_clip(ROBERTA, {"pool_type": "eos", "eos_id": 2}),
    "open_clip SigLIP": _open_clip(SIGLIP, SIGLIP_TEXT, custom_text=True),
    "open_clip SigLIP without projection": _open_clip(
        SIGLIP,
        {**SIGLIP_TEXT, "proj_bias": False, "proj_type": "none", "mlp_ratio": 3.7362},
        custom_text=True,
        embed_dim=32,
    ),
    "open_clip SigLIP 2": _open_clip(
        GEMMA, {**SIGLIP_TEXT, "act_kwargs": {"approximate": "tanh"}}, custom_text=True
    ),
    "open_clip CoCa": _open_clip(CLIP, {"embed_cls": True, "output_tokens": True}, **COCA),
    "open_clip with a mask of padding": _padding_masked(),
    "open_clip with a mask of padding, read last": _padding_masked(pool_type="last"),
    "open_clip RoBERTa": _hf_encoder(ROBERTA, transformers.RobertaConfig(**ROBERTA_SIZES)),
    "open_clip RoBERTa, linear, first": _hf_encoder(
        ROBERTA,
        transformers.RobertaConfig(**{**ROBERTA_SIZES, "type_vocab_size": 2}),
        hf_proj_type="linear",
        hf_pooler_type="cls_last_hidden_state_pooler",
    ),
    "open_clip XLM-RoBERTa": _hf_encoder(ROBERTA, transformers.XLMRobertaConfig(**ROBERTA_SIZES)),
    "open_clip mT5": _hf_encoder(T5, MT5),
    "open_clip mT5, linear": _hf_encoder(T5, MT5, hf_proj_type="linear"),
    "Long-CLIP": lambda name: openai_case(name, long_clip(32, 2, 2, 24, SIZE), CLIP(), 248),
    "transformers CLIP": _whole("CLIP", CLIP, eos_token_id=2),
    "transformers CLIP, text alone": _text_only("CLIP", CLIP, eos_token_id=SIZE - 1),
    "transformers SigLIP": _whole("Siglip", SIGLIP),
    "transformers SigLIP 2": _whole("Siglip2", GEMMA),
    "transformers MetaCLIP 2": _whole("MetaClip2", ROBERTA, eos_token_id=2),
    "transformers MetaCLIP 2, text alone": _text_only("MetaClip2", ROBERTA, eos_token_id=2),
    "transformers BLIP": _blip,
    "transformers BLIP-2": partial(_blip2, pictures=True),
    "transformers BLIP-2, text alone": partial(_blip2, pictures=False),
}
NEW = {
    "transformers SigLIP 2": "Siglip2Model",
    "transformers MetaCLIP 2": "MetaClip2Model",
    "transformers MetaCLIP 2, text alone": "MetaClip2TextModelWithProjection",
    "transformers BLIP-2": "Blip2ForImageTextRetrieval",
    "transformers BLIP-2, text alone": "Blip2TextModelWithProjection",
}
"""What the lowest version of transformers does not have."""
TINY: dict[str, Maker] = {
    name: partial(make, name)
    for name, make in _MAKERS.items()
    if hasattr(transformers, NEW.get(name, "CLIPModel"))
}
"""By name."""
