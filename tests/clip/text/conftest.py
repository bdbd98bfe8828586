"""Real CLIP models with random weights: what our text tower is held against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

TINY_VISION = {"layers": 1, "width": 64, "image_size": 32, "patch_size": 16}
TINY_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 3}


@dataclass
class RealClip:
    """A model of somebody else's, and its own way of encoding ids."""

    model: nn.Module
    encode: Callable[[Tensor], Tensor]
    embedding: nn.Module
    layout: str

    @torch.no_grad()
    def encode_with(self, ids: Tensor, pseudo: Tensor, placeholder: int) -> Tensor:
        """Its own forward, with row b's n-th placeholder embedding swapped for pseudo[b, n]."""

        def swap(module: nn.Module, arguments: Any, output: Tensor) -> Tensor:
            output = output.clone()
            for row in range(len(ids)):
                turn = 0
                for column in range(ids.shape[1]):
                    if ids[row, column] == placeholder:
                        output[row, column] = pseudo[row, turn]
                        turn += 1
            return output

        hook = self.embedding.register_forward_hook(swap)
        try:
            return self.encode(ids)
        finally:
            hook.remove()


def _shake(model: nn.Module) -> nn.Module:
    """Move every vector off its initial zeros and ones, so that none can be left out unseen."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def _open_clip(text: dict[str, Any], embed_dim: int, quick_gelu: bool) -> RealClip:
    from open_clip.model import CLIP

    model: Any = _shake(CLIP(embed_dim, TINY_VISION, text, quick_gelu=quick_gelu))
    return RealClip(model, model.encode_text, model.token_embedding, "openai")


def _open_clip_named(name: str) -> RealClip:
    import open_clip

    config = open_clip.get_model_config(name)
    return _open_clip(config["text_cfg"], config["embed_dim"], config.get("quick_gelu", False))


def _open_clip_custom() -> RealClip:
    from open_clip.model import CustomTextCLIP

    model: Any = _shake(CustomTextCLIP(48, TINY_VISION, TINY_TEXT, quick_gelu=True))
    return RealClip(model, model.encode_text, model.text.token_embedding, "open_clip_custom")


def _openai() -> RealClip:
    from clip.model import CLIP

    model: Any = _shake(CLIP(48, 32, 1, 64, 16, 77, 49408, 128, 2, 3))
    return RealClip(model, model.encode_text, model.token_embedding, "openai")


def _text_config(activation: str, eos: int) -> dict[str, Any]:
    return {
        "vocab_size": 49408,
        "hidden_size": 64,
        "intermediate_size": 192,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "hidden_act": activation,
        "projection_dim": 48,
        "eos_token_id": eos,
    }


def _transformers_text(activation: str, eos: int) -> RealClip:
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    config = CLIPTextConfig(**_text_config(activation, eos))
    model: Any = _shake(CLIPTextModelWithProjection(config))
    return RealClip(
        model, lambda ids: model(input_ids=ids).text_embeds, model.get_input_embeddings(), "hf"
    )


def _transformers_clip() -> RealClip:
    from transformers import CLIPConfig, CLIPModel

    vision = {
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 16,
    }
    config = CLIPConfig(
        text_config=_text_config("quick_gelu", 2), vision_config=vision, projection_dim=48
    )
    model: Any = _shake(CLIPModel(config))
    pixels = torch.zeros(1, 3, 32, 32)

    def encode(ids: Tensor) -> Tensor:
        """Unit vectors, which is all that the ordinary forward gives."""
        return model(input_ids=ids, pixel_values=pixels).text_embeds

    return RealClip(model, encode, model.text_model.embeddings.token_embedding, "hf")


MAKERS: dict[str, Callable[[], RealClip]] = {
    "open_clip ViT-B-32": lambda: _open_clip_named("ViT-B-32"),
    "open_clip ViT-B-32-quickgelu": lambda: _open_clip_named("ViT-B-32-quickgelu"),
    "open_clip ViT-L-14": lambda: _open_clip_named("ViT-L-14"),
    "open_clip ViT-H-14": lambda: _open_clip_named("ViT-H-14"),
    "open_clip tiny": lambda: _open_clip(TINY_TEXT, 48, True),
    "open_clip custom": _open_clip_custom,
    "openai": _openai,
    "transformers eos 2": lambda: _transformers_text("quick_gelu", 2),
    "transformers eos 49407": lambda: _transformers_text("gelu", 49407),
    "transformers tanh": lambda: _transformers_text("gelu_pytorch_tanh", 49407),
    "transformers clip": _transformers_clip,
}


@pytest.fixture(scope="session")
def real_clip() -> Callable[[str], RealClip]:
    """A fresh real model by name."""

    def make(name: str) -> RealClip:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return MAKERS[name]()

    return make
