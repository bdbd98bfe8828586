"""Builds models of other people's libraries with random weights, of any size, without downloads."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tower_case import Case, WordIds

SMALL_VISION = {"layers": 1, "width": 64, "image_size": 32, "patch_size": 16}
COCA_VISION = {**SMALL_VISION, "output_tokens": True, "attentional_pool": True}
SMALL_VIT = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 16,
}
PIXELS = torch.zeros(1, 3, 32, 32)


def shaken(model: Any) -> Any:
    """A model whose weights are random throughout: what libraries leave at zero or one, or so small
    that all texts look alike, would hide a part that is left out.

    Embeddings stay as they are, and so does T5's attention: its scores are not scaled, and with
    large ones rounding would grow from block to block.
    """
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            std = 0.1 if parameter.dim() < 2 else parameter.shape[1] ** -0.5
            if parameter.dim() < 2 or not re.search("embed|SelfAttention", name):
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=std)
    return model.eval()


def open_clip_case(
    name: str, config: Mapping[str, Any], words: WordIds, text_model: Any = None
) -> Case:
    """A model that open_clip's own factory builds.

    Args:
        name: of the case.
        config: as in open_clip's model_configs; without `vision_cfg` it gets a small image tower.
        words: its tokens.
        text_model: config of the transformers model that is its text tower, where it is one.
    """
    import open_clip

    text = {"vocab_size": words.size, **config["text_cfg"]}
    with tempfile.TemporaryDirectory() as folder:
        if text_model is not None:
            text_model.save_pretrained(folder)
            text = {"hf_model_name": folder, **config["text_cfg"]}
        stem = f"case-{Path(folder).name}"
        path = Path(folder) / f"{stem}.json"
        path.write_text(json.dumps({"vision_cfg": SMALL_VISION, **config, "text_cfg": text}))
        open_clip.add_model_config(path)
        model = shaken(open_clip.create_model(stem, pretrained_hf=False))
    is_coca = "multimodal_cfg" in config
    encode = partial(model.encode_text, normalize=False) if is_coca else model.encode_text
    if text_model is not None:
        inner = model.text.transformer
        embedding = getattr(inner, "embed_tokens", None) or inner.embeddings.word_embeddings
        return Case(name, model, encode, embedding, words, 77)
    tower = getattr(model, "text", model)
    length = text.get("context_length", 77)
    return Case(name, model, encode, tower.token_embedding, words, length)


def transformers_case(name: str, model: Any, words: WordIds, length: int) -> Case:
    """A CLIP, SigLIP or MetaCLIP 2 of transformers, whole or its text model with projection."""
    model = shaken(model)

    def encode(ids: Tensor) -> Tensor:
        if not hasattr(model, "get_text_features"):
            return model(input_ids=ids).text_embeds
        features = model.get_text_features(input_ids=ids)
        return getattr(features, "pooler_output", features)

    embedding = model.text_model.embeddings.token_embedding
    return Case(name, model, encode, embedding, words, length)


def blip_case(name: str, model: Any, words: WordIds) -> Case:
    """transformers' BLIP, asked for the similarity of a picture: what its projection gives there
    before it is normalised."""
    model, projected = shaken(model), []
    model.text_proj.register_forward_hook(lambda module, given, output: projected.append(output))

    def encode(ids: Tensor) -> Tensor:
        attended = (ids != words.pad_id).long()
        model(ids, PIXELS, use_itm_head=False, attention_mask=attended)
        return projected.pop()

    embedding = model.text_encoder.embeddings.word_embeddings
    return Case(name, model, encode, embedding, words, 35)


def blip2_case(name: str, model: Any, words: WordIds, *, pictures: bool) -> Case:
    """transformers' BLIP-2, with pictures or its text side alone; it gives unit vectors."""
    model = shaken(model)

    def encode(ids: Tensor) -> Tensor:
        attended = (ids != words.pad_id).long()
        if not pictures:
            return model(input_ids=ids, attention_mask=attended).text_embeds[:, 0]
        return model(PIXELS, ids, attended, use_image_text_matching_head=False).text_embeds

    return Case(name, model, encode, model.embeddings.word_embeddings, words, 32, unit=True)


def long_clip(width: int, heads: int, layers: int, embed_dim: int, vocab_size: int) -> nn.Module:
    """Long-CLIP by its facts (beichenzbc/Long-CLIP 3966af9, model/model_longclip.py): OpenAI's CLIP
    that reads 248 tokens, whose first 20 places have rows of one table and all others of another.
    """
    from clip.model import CLIP

    class LongCLIP(CLIP):
        def __init__(self) -> None:
            super().__init__(embed_dim, 32, 1, 64, 16, 248, vocab_size, width, heads, layers)
            self.positional_embedding_res = nn.Parameter(torch.randn(248, width) * 0.01)

        def encode_text(self, text: Tensor) -> Tensor:
            first, rest = self.positional_embedding[:20], self.positional_embedding_res[20:]
            x = self.token_embedding(text) + torch.cat([first, rest])
            x = self.transformer(x.transpose(0, 1)).transpose(0, 1)
            ends = self.ln_final(x)[torch.arange(len(x)), text.argmax(dim=-1)]
            return ends @ self.text_projection

    return LongCLIP()


def openai_case(name: str, model: Any, words: WordIds, length: int = 77) -> Case:
    """A model of OpenAI's package, or built as it builds them."""
    model = shaken(model)
    return Case(name, model, model.encode_text, model.token_embedding, words, length)


Maker = Callable[[], Case]
