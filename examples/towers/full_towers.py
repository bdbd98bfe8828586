"""One text tower of each family at its real size, with random weights and a small image tower."""

from __future__ import annotations

from functools import partial
from typing import Any

import transformers
from tower_builders import (
    COCA_VISION,
    SMALL_VISION,
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

CLIP = partial(WordIds, 49408, begin=49406, end=49407)
BERT = partial(WordIds, begin=101, end=102)
ROBERTA = partial(WordIds, begin=0, end=2, pad=1)
T5 = partial(WordIds, end=1, pad=0)
SIGLIP = partial(WordIds, 32000, end=1, pad=1)
GEMMA = partial(WordIds, 256000, begin=2, end=1, pad=0)

TEXT_MODELS: dict[str, Any] = {
    "roberta-base": transformers.RobertaConfig(
        vocab_size=50265, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5
    ),
    "google/mt5-base": transformers.MT5Config(
        vocab_size=250112, d_model=768, d_ff=2048, num_layers=12, num_heads=12, d_kv=64
    ),
}
"""What the Hub's config.json of these names says of them."""


def _open_clip(model: str, words: Any) -> Any:
    """open_clip's own config of that name, but for the image tower."""

    def make(name: str) -> Case:
        import open_clip

        config = open_clip.get_model_config(model)
        coca = "multimodal_cfg" in config
        vision = {**COCA_VISION, "attn_pooler_heads": 2} if coca else SMALL_VISION
        text = {k: v for k, v in config["text_cfg"].items() if k != "hf_model_name"}
        text_model = TEXT_MODELS.get(config["text_cfg"].get("hf_model_name"))
        whole = {**config, "vision_cfg": vision, "text_cfg": text}
        return open_clip_case(name, whole, words(), text_model)

    return make


def _siglip(kind: str, words: Any) -> Any:
    def make(name: str) -> Case:
        text = {"vocab_size": words().size}
        config = getattr(transformers, f"{kind}Config")(text_config=text, vision_config=SMALL_VIT)
        return transformers_case(name, getattr(transformers, f"{kind}Model")(config), words(), 64)

    return make


def _clip(name: str) -> Case:
    model = transformers.CLIPTextModelWithProjection(transformers.CLIPTextConfig())
    return transformers_case(name, model, CLIP(), 77)


def _metaclip2(name: str) -> Case:
    config = transformers.MetaClip2TextConfig(vocab_size=250100, eos_token_id=1, pad_token_id=0)
    model = transformers.MetaClip2TextModelWithProjection(config)
    return transformers_case(name, model, T5(250100), 77)


def _blip(name: str) -> Case:
    config = transformers.BlipConfig(vision_config=SMALL_VIT, image_text_hidden_size=256)
    model = transformers.BlipForImageTextRetrieval(config)
    return blip_case(name, model, BERT(config.text_config.vocab_size))


def _blip2(name: str) -> Case:
    former = {"vocab_size": 30523, "use_qformer_text_input": True}
    config = transformers.Blip2Config(
        qformer_config=former, vision_config=SMALL_VIT, image_text_hidden_size=256
    )
    model = transformers.Blip2TextModelWithProjection(config)
    return blip2_case(name, model, BERT(30523), pictures=False)


_MAKERS: dict[str, Any] = {
    "open_clip `ViT-B-32`": _open_clip("ViT-B-32", CLIP),
    "open_clip `PE-Core-B-16`": _open_clip("PE-Core-B-16", CLIP),
    "open_clip `MobileCLIP-S1`": _open_clip("MobileCLIP-S1", CLIP),
    "open_clip `ViT-L-14-CLIPA`": _open_clip(
        "ViT-L-14-CLIPA", partial(WordIds, 32000, begin=101, end=0)
    ),
    "open_clip `ViT-L-14-worldwide`": _open_clip("ViT-L-14-worldwide", partial(T5, 250100)),
    "open_clip `ViT-B-16-SigLIP2`": _open_clip("ViT-B-16-SigLIP2", GEMMA),
    "open_clip `coca_ViT-B-32`": _open_clip("coca_ViT-B-32", CLIP),
    "open_clip `roberta-ViT-B-32`": _open_clip("roberta-ViT-B-32", partial(ROBERTA, 50265)),
    "open_clip `mt5-base-ViT-B-32`": _open_clip("mt5-base-ViT-B-32", partial(T5, 250112)),
    "Long-CLIP, base": lambda name: openai_case(
        name, long_clip(512, 8, 12, 512, 49408), CLIP(), 248
    ),
    "transformers CLIP, base": _clip,
    "transformers MetaCLIP 2, base": _metaclip2,
    "transformers SigLIP, base": _siglip("Siglip", SIGLIP),
    "transformers SigLIP 2, base": _siglip("Siglip2", GEMMA),
    "transformers BLIP, base": _blip,
    "transformers BLIP-2, Q-Former": _blip2,
}
FULL: dict[str, Maker] = {name: partial(make, name) for name, make in _MAKERS.items()}
"""By name, as the table calls them."""
