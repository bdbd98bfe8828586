"""Pretrains the built-in world's CLIP from nothing."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rtd_adapters.clip.text import Tokenizer
from rtd_adapters.demo.captions import caption
from rtd_adapters.demo.clip import ROWS, normalise, stored
from rtd_adapters.demo.contrastive import contrast, make_optimizer, set_learning_rate
from rtd_adapters.demo.models import CONTEXT, RESNET
from rtd_adapters.demo.pairs import Pairs, batches, draw_pairs
from rtd_adapters.demo.scenes import SHAPES

PAIRS = 16_000
STEPS = 1_100
PAIRS_A_BATCH = 96
NORM = 10.0
"""Mean norm of embeddings. The official code adds its noise to unnormalised embeddings; at this
norm its default scale of 0.5 disturbs the miniature about as much as it does a real CLIP."""

PROMPT_WORDS = ("a photo of $ that", "a photo of *, with * but")


def pretrain(seed: int, say: Callable[[str], None], steps: int = STEPS) -> dict[str, Tensor]:
    """Train the ResNet world and return its compact checkpoint: used token rows only, fp16."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    tokenizer = Tokenizer(CONTEXT)
    rows = _used_rows(tokenizer)
    say(f"vocabulary: {len(rows)} tokens; drawing {2 * PAIRS} pictures")
    pairs = draw_pairs(PAIRS, seed)
    model = _small_vocabulary_model(len(rows)).to(memory_format=torch.channels_last)
    optimizer = make_optimizer(model)
    for step, chosen in zip(range(steps), batches(pairs, PAIRS_A_BATCH, rng), strict=False):
        set_learning_rate(optimizer, step, steps)
        scenes = [scene for place in chosen for scene in pairs.scenes[place]]
        ids = trimmed(tokenizer.encode([caption(scene, rng) for scene in scenes]))
        images = normalise(pairs.images[chosen].flatten(0, 1))
        loss = _clip_loss(model, images, torch.searchsorted(rows, ids))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        if step % 50 == 0:
            say(f"step {step:5d}  loss {loss.item():.3f}")
    model.eval()
    _set_norms(model, pairs, tokenizer, rows)
    return stored(model.state_dict()) | {ROWS: rows}


def trimmed(ids: Tensor) -> Tensor:
    """Token ids [B, L] cut after the longest text."""
    return ids[:, : int((ids > 0).sum(1).max())].contiguous()


def encode_trimmed(model: Any, ids: Tensor) -> Tensor:
    """open_clip's text forward on trimmed ids; causal, so nothing changes."""
    length = ids.shape[1]
    x = model.token_embedding(ids) + model.positional_embedding[:length]
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    x = model.ln_final(x)
    return x[torch.arange(len(ids)), ids.argmax(-1)] @ model.text_projection


def _clip_loss(model: Any, images: Tensor, ids: Tensor) -> Tensor:
    images = images.to(memory_format=torch.channels_last)  # twice as fast on a CPU
    with torch.autocast("cpu", torch.bfloat16):
        image, text = model.encode_image(images), encode_trimmed(model, ids)
    return contrast(image.float(), text.float(), model.logit_scale.exp())


def _small_vocabulary_model(vocabulary: int) -> Any:
    from open_clip.model import CLIP

    config = copy.deepcopy(RESNET.config)
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
