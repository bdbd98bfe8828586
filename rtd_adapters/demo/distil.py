"""Distils the ViT world's image tower from the ResNet world's; see docs/world.md.

A picture's embedding must find its embedding by the ResNet tower and its caption's by the text
tower, which both worlds share and which stays as it is.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rtd_adapters.clip.text import Tokenizer
from rtd_adapters.demo.captions import caption
from rtd_adapters.demo.clip import load_demo_clip, normalise, stored
from rtd_adapters.demo.contrastive import contrast, make_optimizer, set_learning_rate
from rtd_adapters.demo.gap import widening
from rtd_adapters.demo.models import CONTEXT, RESNET, VIT
from rtd_adapters.demo.pairs import Pairs, batches, draw_pairs
from rtd_adapters.demo.pretrain import NORM, encode_trimmed, trimmed
from rtd_adapters.io.checkpoints import read_safetensors

PAIRS = 16_000
STEPS = 1_200
PAIRS_A_BATCH = 64
CHUNK = 256
MEASURED = 500
"""Pairs whose pictures and captions norms and gap are taken on."""
IMAGE_TOWER = "visual."


def distil(seed: int, say: Callable[[str], None], steps: int = STEPS) -> dict[str, Tensor]:
    """Train the image tower and return the whole compact checkpoint, fp16."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    teacher: Any = load_demo_clip(RESNET)[0].requires_grad_(False)
    say(f"drawing {2 * PAIRS} pictures for the ResNet tower to look at")
    pairs = draw_pairs(PAIRS, seed)
    seen = _embed(teacher, pairs.images.flatten(0, 1)).unflatten(0, (-1, 2))
    tokenizer, tower, scale = Tokenizer(CONTEXT), _new_tower(), teacher.logit_scale.exp()
    optimizer = make_optimizer(tower)
    for step, chosen in zip(range(steps), batches(pairs, PAIRS_A_BATCH, rng), strict=False):
        set_learning_rate(optimizer, step, steps)
        scenes = [scene for place in chosen for scene in pairs.scenes[place]]
        ids = trimmed(tokenizer.encode([caption(scene, rng) for scene in scenes]))
        with torch.autocast("cpu", torch.bfloat16):
            image = tower(normalise(pairs.images[chosen].flatten(0, 1))).float()
            text = encode_trimmed(teacher, ids).float()
        loss = contrast(image, seen[chosen].flatten(0, 1), scale) + contrast(image, text, scale)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            say(f"step {step:5d}  loss {loss.item():.3f}")
    _set_norm(tower.eval(), pairs.images[:MEASURED].flatten(0, 1))
    return _with_image_tower(tower) | _measured_gap(teacher, tower, pairs)


def _new_tower() -> Any:
    """open_clip's vision transformer, its positions in two dimensions from the start."""
    from open_clip.model import CLIP
    from open_clip.pos_embed import get_2d_sincos_pos_embed

    tower = CLIP(**VIT.config).visual.train()
    width, (side, _) = tower.positional_embedding.shape[1], tower.grid_size
    positions = get_2d_sincos_pos_embed(width, side, cls_token=True)
    with torch.no_grad():
        tower.positional_embedding.copy_(torch.from_numpy(positions))
    return tower


@torch.no_grad()
def _embed(model: Any, images: Tensor) -> Tensor:
    """[N, embed_dim] of bytes [N, 3, 64, 64]."""
    return torch.cat([model.encode_image(normalise(part)) for part in images.split(CHUNK)])


@torch.no_grad()
def _set_norm(tower: nn.Module, images: Tensor) -> None:
    """Scale the projection so that embeddings have mean norm NORM; no cosine changes."""
    tower.get_parameter("proj").mul_(NORM / tower(normalise(images)).norm(dim=-1).mean())


@torch.no_grad()
def _measured_gap(teacher: Any, tower: Any, pairs: Pairs) -> dict[str, Tensor]:
    rng = random.Random(0)
    texts = [caption(scene, rng) for pair in pairs.scenes[:MEASURED] for scene in pair]
    pictures = tower(normalise(pairs.images[:MEASURED].flatten(0, 1)))
    embedded = teacher.encode_text(Tokenizer(CONTEXT).encode(texts))
    return widening(pictures, embedded, teacher.text_projection, NORM)


def _with_image_tower(tower: nn.Module) -> dict[str, Tensor]:
    """The ResNet world's compact checkpoint with another image tower."""
    shared, _ = read_safetensors(RESNET.weights)
    kept = {name: value for name, value in shared.items() if not name.startswith(IMAGE_TOWER)}
    return kept | stored({IMAGE_TOWER + name: value for name, value in tower.state_dict().items()})
