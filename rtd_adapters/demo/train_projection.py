"""Trains a method's projection on the built-in world's pictures.

One recipe for all methods: the bare prompt with the projected picture must find that picture again
(Pic2Word's objective). It is not SEARLE's own two-stage training, and need not be: what a patch
repairs is the encoder.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtd_adapters.demo.clip import load_demo_clip, pixels
from rtd_adapters.demo.render import draw
from rtd_adapters.demo.scenes import draw_training_scene
from rtd_adapters.methods import BackboneShape, Method
from rtd_adapters.text import TextTower, tower_from_model

PICTURES = 12_800
STEPS = 200
BATCH = 128
LEARNING_RATE = 1e-3


def train_projection(method: Method, seed: int, say: Callable[[str], None]) -> dict[str, Tensor]:
    """Train on scenes without held-out pairs and return the module's tensors in fp16."""
    torch.manual_seed(seed)
    model: Any = load_demo_clip()[0]
    tower = tower_from_model(model).requires_grad_(False)
    images = _embed_pictures(model, seed)
    projection = method.build_projection(demo_shape(model, tower)).train()
    optimizer = torch.optim.AdamW(projection.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    scale = model.logit_scale.exp().item()
    for step in range(STEPS):
        image = images[torch.randint(len(images), (BATCH,))]
        loss = _contrast(_bare(method, projection, tower, image), image, scale)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            say(f"step {step:4d}  loss {loss.item():.3f}")
    return {name: value.detach().half() for name, value in projection.state_dict().items()}


def demo_shape(model: Any, tower: TextTower) -> BackboneShape:
    """The sizes of the built-in world's CLIP."""
    width = model.visual.attnpool.c_proj.in_features
    return BackboneShape(tower.config.embed_dim, tower.config.width, width)


def _bare(method: Method, projection: nn.Module, tower: TextTower, image: Tensor) -> Tensor:
    tokenizer = method.tokenizer(tower.config.context_length)
    ids = tokenizer.encode_prompts([method.bare_prompt])
    length = int((ids > 0).sum())
    pseudo_tokens = method.pseudo_tokens(projection, image)
    return tower(ids[:, :length].expand(len(image), -1), pseudo_tokens, tokenizer.placeholder_id)


def _contrast(text: Tensor, image: Tensor, scale: float) -> Tensor:
    logits = scale * F.normalize(text, dim=-1) @ F.normalize(image, dim=-1).T
    pairs = torch.arange(len(logits))
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2


@torch.no_grad()
def _embed_pictures(model: Any, seed: int) -> Tensor:
    rng = random.Random(seed)
    chunks = []
    for _ in range(PICTURES // 256):
        pictures = [draw(draw_training_scene(rng), rng.randrange(1 << 30)) for _ in range(256)]
        chunks.append(model.encode_image(pixels(pictures)))
    return torch.cat(chunks)
