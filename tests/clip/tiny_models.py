"""Small models of real classes with random weights, as files: what `--backbone` and `--pretrained`
take. Each lies in a folder of its own, with the tokenizer of its kind where it needs one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import open_clip
import tiny_tokenizers
import torch
import transformers
from torch import nn

TEXT = {"width": 64, "heads": 2, "layers": 2}
VIT = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16, "head_width": 32}
TIMM = {"timm_model_name": "test_vit", "timm_pool": "", "timm_proj": "linear", "image_size": 160}
SIGLIP = {
    "context_length": 24,
    "hf_tokenizer_name": "nobody/nowhere",
    "tokenizer_kwargs": {"clean": "canonicalize"},
    "no_causal_mask": True,
    "proj_bias": True,
    "pool_type": "last",
    "norm_kwargs": {"eps": 1e-6},
    "act_kwargs": {"approximate": "tanh"},
}
EOS = {"hf_tokenizer_name": "nobody/nowhere", "pool_type": "eos", "context_length": 24}
CLIPA = {
    "hf_tokenizer_name": "nobody/nowhere",
    "tokenizer_kwargs": {"strip_sep_token": True},
    "pool_type": "last",
    "no_causal_mask": True,
    "context_length": 20,
}


@dataclass(frozen=True)
class Saved:
    """A model on disk, and alive."""

    backbone: str
    pretrained: str | None
    model: nn.Module

    @property
    def options(self) -> list[str]:
        """Of the command line."""
        return ["--backbone", self.backbone, *self._weights]

    @property
    def _weights(self) -> list[str]:
        return ["--pretrained", self.pretrained] if self.pretrained else []


@dataclass(frozen=True)
class OpenClip:
    """An open_clip model by its config."""

    text: Mapping[str, Any]
    vision: Mapping[str, Any]
    tokenizer: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)
    encoder: transformers.PretrainedConfig | None = None
    """Of a text encoder of transformers, without its vocabulary."""

    def save(self, name: str, folder: Path) -> Saved:
        """Write config, weights and tokenizer."""
        text = {**TEXT, **self.text}
        if self.tokenizer:
            tiny_tokenizers.MAKERS[self.tokenizer](folder)
            text["vocab_size"] = tiny_tokenizers.size(folder) + 4
        if self.encoder is not None:
            encoder = copy.deepcopy(self.encoder)
            encoder.vocab_size = text["vocab_size"]
            encoder.save_pretrained(folder / "encoder")
            text = {**self.text, "hf_model_name": str(folder / "encoder")}
        config = {"embed_dim": 64, "vision_cfg": self.vision, "text_cfg": text, **self.more}
        path = folder / f"tiny-{name}.json"
        path.write_text(json.dumps(config))
        open_clip.add_model_config(path)
        model = shaken(lambda: open_clip.create_model(path.stem, pretrained_hf=False))
        torch.save(model.state_dict(), folder / "weights.pt")
        return Saved(str(path), str(folder / "weights.pt"), model)


@dataclass(frozen=True)
class Folder:
    """A transformers model in a folder."""

    make: Callable[[int], nn.Module]
    """With as many rows in its table of tokens."""
    processor: str
    size: Mapping[str, Any]
    tokenizer: str = ""

    def save(self, name: str, folder: Path) -> Saved:
        """Write all that such a folder holds."""
        rows = 49408
        if self.tokenizer:
            tiny_tokenizers.MAKERS[self.tokenizer](folder)
            rows = tiny_tokenizers.size(folder) + 4
        model: Any = shaken(lambda: self.make(rows))
        model.save_pretrained(folder)
        getattr(transformers, self.processor)(**self.size).save_pretrained(folder)
        return Saved(str(folder), None, model)


def shaken(make: Callable[[], nn.Module]) -> nn.Module:
    """A model whose weights are away from zeros and ones, so that every part counts."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = make()
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval()


PARTS = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
VISION = {**PARTS, "image_size": 32, "patch_size": 16}
SQUARE = {"size": {"height": 32, "width": 32}}
CROPPED = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}


def _clip(rows: int) -> nn.Module:
    text = {**PARTS, "vocab_size": rows, "eos_token_id": rows - 1}
    config = transformers.CLIPConfig(text_config=text, vision_config=VISION, projection_dim=64)
    return transformers.CLIPModel(config)


def _metaclip2(rows: int) -> nn.Module:
    text = {**PARTS, "vocab_size": rows, "eos_token_id": 2, "pad_token_id": 1, "bos_token_id": 0}
    text["max_position_embeddings"] = 24
    config = transformers.MetaClip2Config(text_config=text, vision_config=VISION, projection_dim=64)
    return transformers.MetaClip2Model(config)


def _siglip_text(rows: int) -> dict[str, Any]:
    ids = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1}
    return {**PARTS, **ids, "vocab_size": rows, "max_position_embeddings": 24}


def _siglip(rows: int) -> nn.Module:
    config = transformers.SiglipConfig(text_config=_siglip_text(rows), vision_config=VISION)
    return transformers.SiglipModel(config)


def _siglip2(rows: int) -> nn.Module:
    vision = {**PARTS, "patch_size": 16, "num_patches": 16}
    config = transformers.Siglip2Config(text_config=_siglip_text(rows), vision_config=vision)
    return transformers.Siglip2Model(config)


def _blip(rows: int) -> nn.Module:
    text = {**PARTS, "vocab_size": rows, "pad_token_id": 0, "encoder_hidden_size": 64}
    text |= {"bos_token_id": 1, "sep_token_id": 4, "eos_token_id": 4}
    config = transformers.BlipConfig(
        text_config=text, vision_config=VISION, image_text_hidden_size=64
    )
    return transformers.BlipForImageTextRetrieval(config)


def _blip2(rows: int) -> nn.Module:
    former = {**PARTS, "vocab_size": rows, "pad_token_id": 0, "encoder_hidden_size": 64}
    language = {"model_type": "opt", "hidden_size": 64, "num_hidden_layers": 1, "vocab_size": 64}
    language |= {"num_attention_heads": 2, "ffn_dim": 64, "word_embed_proj_dim": 64}
    config = transformers.Blip2Config(
        vision_config=VISION,
        qformer_config={**former, "use_qformer_text_input": True},
        text_config=language,
        image_text_hidden_size=64,
        num_query_tokens=4,
    )
    return transformers.Blip2ForImageTextRetrieval(config)


CUSTOM = {"custom_text": True}
ROBERTA = transformers.RobertaConfig(
    **PARTS, pad_token_id=1, type_vocab_size=1, max_position_embeddings=90
)
MT5 = transformers.MT5Config(
    d_model=64,
    d_kv=32,
    d_ff=64,
    num_layers=2,
    num_heads=2,
    pad_token_id=0,
    tie_word_embeddings=False,
)
NAMED = {"hf_tokenizer_name": "nobody/nowhere", "hf_pooler_type": "mean_pooler"}
MODELS: Mapping[str, OpenClip | Folder] = {
    "open_clip-siglip2": OpenClip(
        SIGLIP, TIMM | {"timm_proj": "none", "timm_pool": "avg"}, "gemma", CUSTOM
    ),
    "open_clip-metaclip2": OpenClip(EOS | {"eos_id": 2}, VIT, "xlm"),
    "open_clip-metaclip2-mt5": OpenClip(
        EOS | {"eos_id": 1, "tokenizer_kwargs": {"clean": "canonicalize"}}, VIT, "mt5"
    ),
    "open_clip-clipa": OpenClip(CLIPA, VIT | {"pool_type": "avg", "no_ln_pre": True}, "bert"),
    "open_clip-pe-core": OpenClip({"context_length": 32}, TIMM, more=CUSTOM),
    "open_clip-convnext": OpenClip({}, TIMM | {"timm_model_name": "test_convnext"}),
    "open_clip-roberta": OpenClip(NAMED, VIT, "roberta", encoder=ROBERTA),
    "open_clip-mt5": OpenClip(NAMED | {"hf_proj_type": "linear"}, VIT, "mt5", encoder=MT5),
    "hf-clip": Folder(_clip, "CLIPImageProcessor", CROPPED),
    "hf-metaclip2": Folder(_metaclip2, "CLIPImageProcessor", CROPPED, "xlm"),
    "hf-siglip": Folder(_siglip, "SiglipImageProcessor", SQUARE, "gemma"),
    "hf-siglip2": Folder(_siglip2, "Siglip2ImageProcessor", {"max_num_patches": 16}, "siglip2"),
    "hf-blip": Folder(_blip, "BlipImageProcessor", SQUARE, "bert"),
    "hf-blip2": Folder(_blip2, "BlipImageProcessor", SQUARE, "bert"),
}
"""One of each family."""
