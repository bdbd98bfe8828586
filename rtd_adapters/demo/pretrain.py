"""Pretrains the built-in world's CLIP from nothing."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rtd_adapters.clip.text import Tokenizer
from rtd_adapters.demo.captions import caption
from rtd_adapters.demo.clip import CONFIG, ROWS, normalise
from rtd_adapters.demo.render import draw
from rtd_adapters.demo.scenes import SHAPES, Scene
from rtd_adapters.demo.triplets import training_changes

PAIRS = 16_000
STEPS = 1_100
PAIRS_A_BATCH = 96
LEARNING_RATE = 1.5e-3
WARMUP = 100
WEIGHT_DECAY = 0.05
CONTEXT = CONFIG["text_cfg"]["context_length"]
NORM = 10.0
"""Mean norm of embeddings. The official code adds its noise to unnormalised embeddings; at this
norm its default scale of 0.5 disturbs the miniature about as much as it does a real CLIP."""

PROMPT_WORDS = ("a photo of $ that", "a photo of *, with * but")


@dataclass
class Pairs:
    """Scenes beside a neighbour that differs by one modification."""

    images: Tensor
    """Bytes [P, 2, 3, 64, 64]."""
    scenes: list[tuple[Scene, Scene]]


def draw_pairs(count: int, seed: int) -> Pairs:
    """Training scenes, each beside a neighbour that differs by one modification.

    Neighbours share a batch, so that every batch holds hard negatives.
    """
    rng = random.Random(seed)
    changes = training_changes(rng)
    scenes = [(scene, change.target) for scene, change in (next(changes) for _ in range(count))]
    rows = [torch.stack([_raw(scene, rng.randrange(1 << 30)) for scene in pair]) for pair in scenes]
    return Pairs(torch.stack(rows), scenes)


def pretrain(seed: int, say: Callable[[str], None], steps: int = STEPS) -> dict[str, Tensor]:
    """Train and return the compact checkpoint: used token rows only, fp16."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    tokenizer = Tokenizer(CONTEXT)
    rows = _used_rows(tokenizer)
    say(f"vocabulary: {len(rows)} tokens; drawing {2 * PAIRS} pictures")
    pairs = draw_pairs(PAIRS, seed)
    model = _small_vocabulary_model(len(rows)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(_groups(model), lr=LEARNING_RATE, betas=(0.9, 0.98))
    order: list[int] = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * _schedule(step, steps)
        if len(order) < PAIRS_A_BATCH:
            order = rng.sample(range(PAIRS), PAIRS)
        chosen, order = order[:PAIRS_A_BATCH], order[PAIRS_A_BATCH:]
        scenes = [scene for index in chosen for scene in pairs.scenes[index]]
        ids = tokenizer.encode([caption(scene, rng) for scene in scenes])
        ids = torch.searchsorted(rows, ids[:, : int((ids > 0).sum(1).max())].contiguous())
        loss = _clip_loss(model, normalise(pairs.images[chosen].flatten(0, 1)), ids)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        if step % 50 == 0:
            say(f"step {step:5d}  loss {loss.item():.3f}")
    model.eval()
    _set_norms(model, pairs, tokenizer, rows)
    return {name: _stored(value) for name, value in model.state_dict().items()} | {ROWS: rows}


def _clip_loss(model: Any, images: Tensor, ids: Tensor) -> Tensor:
    images = images.to(memory_format=torch.channels_last)  # twice as fast on a CPU
    with torch.autocast("cpu", torch.bfloat16):
        image, text = model.encode_image(images), _encode_trimmed(model, ids)
    image, text = F.normalize(image.float(), dim=-1), F.normalize(text.float(), dim=-1)
    logits = model.logit_scale.exp() * image @ text.T
    pairs = torch.arange(len(logits))
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2


def _encode_trimmed(model: Any, ids: Tensor) -> Tensor:
    """open_clip's text forward on rows cut after the longest text; causal, so nothing changes."""
    length = ids.shape[1]
    x = model.token_embedding(ids) + model.positional_embedding[:length]
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    x = model.ln_final(x)
    return x[torch.arange(len(ids)), ids.argmax(-1)] @ model.text_projection


def _small_vocabulary_model(vocabulary: int) -> Any:
    from open_clip.model import CLIP

    config = copy.deepcopy(CONFIG)
    config["text_cfg"]["vocab_size"] = vocabulary
    return CLIP(**config).train()


def _used_rows(tokenizer: Tokenizer) -> Tensor:
    """Every token id the grammar and the prompts use, ascending, so that EOT stays the largest."""
    from rtd_adapters.demo.captions import (
        BESIDE,
        CLAUSES,
        COUNT_WORDS,
        GROUND,
        PREFIXES,
        SYNONYMS,
        plural,
    )
    from rtd_adapters.demo.modifications import JOINTS, NUMBERS, PHRASINGS, PLACES

    words = [word for group in (*SYNONYMS.values(), *COUNT_WORDS.values()) for word in group]
    nested = (
        *CLAUSES.values(),
        *BESIDE.values(),
        *(p for both in PHRASINGS.values() for p in both),
    )
    forms = [form for group in (*nested, *JOINTS, GROUND) for form in group]
    nouns = [word for shape in SHAPES for word in SYNONYMS[shape]]
    texts = [*words, *map(plural, nouns), *PREFIXES]
    texts += [form.replace("{}", " ") for form in forms]
    texts += [*NUMBERS.values(), *PLACES.values(), *PROMPT_WORDS]
    return torch.unique(torch.cat([tokenizer.encode([text]).flatten() for text in texts]))


def _groups(model: Any) -> list[dict[str, object]]:
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    return [
        {"params": matrices, "weight_decay": WEIGHT_DECAY},
        {"params": others, "weight_decay": 0.0},
    ]


def _schedule(step: int, steps: int) -> float:
    if step < WARMUP:
        return (step + 1) / WARMUP
    return 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / max(1, steps - WARMUP)))


@torch.no_grad()
def _set_norms(model: Any, pairs: Pairs, tokenizer: Tokenizer, rows: Tensor) -> None:
    """Scale both last projections so that embeddings have mean norm NORM; no cosine changes."""
    rng = random.Random(0)
    scenes = [scene for pair in pairs.scenes[:500] for scene in pair]
    ids = torch.searchsorted(rows, tokenizer.encode([caption(scene, rng) for scene in scenes]))
    text = model.encode_text(ids).norm(dim=-1).mean()
    image = model.encode_image(normalise(pairs.images[:500].flatten(0, 1))).norm(dim=-1).mean()
    model.text_projection.mul_(NORM / text)
    last = model.visual.attnpool.c_proj
    last.weight.mul_(NORM / image)
    last.bias.mul_(NORM / image)


def _stored(value: Tensor) -> Tensor:
    return value.detach().half() if value.is_floating_point() else value


def _raw(scene: Scene, seed: int) -> Tensor:
    return torch.from_numpy(np.array(draw(scene, seed))).permute(2, 0, 1)
