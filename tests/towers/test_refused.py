"""What no family computes is refused, with what was not recognised."""

from __future__ import annotations

import pytest
import torch
import transformers
from tiny_towers import BLOCKS, LAYERS, MT5, NO_MASK, ROBERTA_SIZES, SIZE, TEXT, TINY
from torch import nn
from tower_builders import SMALL_VISION, SMALL_VIT

from rtd_adapters.clip.text import find_tower
from rtd_adapters.errors import BackboneError


def custom(**text):
    """open_clip's CustomTextCLIP round a text transformer built with these arguments."""
    from open_clip.model import CustomTextCLIP
    from open_clip.transformer import TextTransformer

    model = CustomTextCLIP(24, SMALL_VISION, {**TEXT, "vocab_size": SIZE})
    model.text = TextTransformer(**{**TEXT, "vocab_size": SIZE, "output_dim": 24, **text})
    return model


def behind_hf_encoder(config, folder, **text):
    """The same round a model of transformers."""
    from open_clip.model import CustomTextCLIP

    config.save_pretrained(folder)
    settings = {"hf_model_name": str(folder), "hf_model_pretrained": False, **text}
    return CustomTextCLIP(24, SMALL_VISION, settings)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ({"ls_init_value": 0.1}, r"4 tensors that .* has not, text.transformer.resblocks.0.ls_1"),
        ({"pool_type": "none"}, "pools by 'none'; rtd knows argmax, first, last and eos"),
        ({"embed_cls": True, "correct_cls_mask": True}, "correct_cls_mask"),
        ({"embed_cls": True, **NO_MASK}, "or looks ahead"),
        ({"block_type": "custom", "qk_norm": True}, "is not two linear layers and an"),
        ({"block_type": "custom", "scale_heads": True}, "is not two linear layers and an"),
        ({"block_type": "custom", "scaled_cosine_attn": True}, "is not two linear layers and an"),
        ({"block_type": "custom", "scale_attn": True}, "is not two linear layers and an"),
        ({"block_type": "custom", "scale_fc": True}, r"resblocks.0.mlp.ln.weight first"),
        ({"act_layer": nn.SiLU}, "activation SiLU is none of quick_gelu, gelu, gelu_tanh"),
    ],
)
def test_text_transformers_of_another_build(text, words):
    with pytest.raises(BackboneError, match=words):
        find_tower(custom(**text))


@pytest.mark.parametrize(
    ("config", "text", "words"),
    [
        (
            lambda: transformers.RobertaConfig(**ROBERTA_SIZES),
            {"hf_pooler_type": "cls_pooler"},
            "pools by ClsPooler here; rtd knows MeanPooler, ClsLastHiddenStatePooler",
        ),
        (
            lambda: transformers.BertConfig(**BLOCKS),
            {},
            "HFTextEncoder is a bert; rtd knows roberta, xlm-roberta and mt5",
        ),
        (
            lambda: transformers.M2M100Config(
                vocab_size=SIZE, d_model=32, encoder_layers=1, decoder_layers=1
            ),
            {"hf_pooler_type": "cls_pooler"},
            "no model that can be patched",
        ),
        (
            lambda: transformers.MT5Config(
                vocab_size=SIZE, d_model=32, num_layers=2, feed_forward_proj="relu"
            ),
            {},
            "has no gated MLP",
        ),
        (
            lambda: transformers.MT5Config(
                **{**MT5.to_dict(), "relative_attention_max_distance": 64}
            ),
            {},
            "beyond 128",
        ),
    ],
    ids=["cls_pooler", "bert", "nllb", "mT5 without gate", "mT5 of another distance"],
)
def test_encoders_of_transformers_of_another_build(config, text, words, tmp_path):
    model = behind_hf_encoder(config(), tmp_path, **{"hf_pooler_type": "mean_pooler", **text})
    with pytest.raises(BackboneError, match=words):
        find_tower(model)


def test_models_with_clips_modules_and_another_kind_of_text_model():
    config = transformers.CLIPSegConfig(text_config=LAYERS, vision_config=SMALL_VIT)
    with pytest.raises(BackboneError, match=r"'clipseg_text_model'; rtd knows .*clip_text_model"):
        find_tower(transformers.CLIPSegModel(config))


def test_models_without_any_familys_modules():
    text = {**BLOCKS, "max_position_embeddings": 40}
    config = transformers.ChineseCLIPConfig(text_config=text, vision_config=SMALL_VIT)
    with pytest.raises(BackboneError, match=r"no model that can be patched.*transformers SigLIP"):
        find_tower(transformers.ChineseCLIPModel(config))


@pytest.mark.parametrize("name", TINY)
def test_a_further_tensor_in_the_tower(name, fresh_case):
    """Whatever it does, no family has it."""
    model = fresh_case(name).model
    block = f"{find_tower(model).family.layout.blocks}0"
    model.get_submodule(block).register_parameter("gate", nn.Parameter(torch.ones(1)))
    with pytest.raises(BackboneError, match=rf"1 tensors that .* has not, {block}.gate first"):
        find_tower(model)
