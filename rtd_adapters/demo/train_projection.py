"""Trains a method's projection on the built-in world's pictures.

One recipe for all methods: the bare prompt with the projected picture must find that picture again
(Pic2Word's objective). It is not SEARLE's own two-stage training, and need not be: what a patch
repairs is the encoder. A projection that looks at the conditioning text sees some, at random.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import islice

import torch
from torch import Tensor, nn

from rtd_adapters.clip.images import ImageStates, image_states, image_width
from rtd_adapters.clip.shapes import BackboneShape
from rtd_adapters.clip.text import TextTower, Tokenizer, tower_from_model
from rtd_adapters.demo.captions import caption
from rtd_adapters.demo.clip import pixels, stored
from rtd_adapters.demo.contrastive import contrast
from rtd_adapters.demo.render import draw
from rtd_adapters.demo.scenes import Scene, draw_training_scene
from rtd_adapters.demo.triplets import demo_triplets
from rtd_adapters.methods.method import Method
from rtd_adapters.methods.query import embed_composition
from rtd_adapters.methods.reference import Reference

PICTURES = 12_800
STEPS = 200
BATCH = 128
BANK = 1_024
"""Of the pictures, with their captions, are a projection's bank where it has one."""
TEXTS = 2_000
LEARNING_RATE = 1e-3


def train_projection(
    method: Method, model: nn.Module, images: ImageStates, seed: int, say: Callable[[str], None]
) -> dict[str, Tensor]:
    """Train on pictures that the model has seen and return the projection's tensors in fp16.

    Args:
        method: whose projection it is.
        model: one of the world's CLIPs.
        images: what its image tower gives for pictures, as `embed_pictures` does.
        seed: decides everything random.
        say: is told of the progress.
    """
    torch.manual_seed(seed)
    tower = tower_from_model(model).requires_grad_(False)
    projection = method.build_projection(demo_shape(model, tower)).train()
    bank = images.embedding[:BANK]
    method.fill_bank(projection, bank, _embed_captions(tower, seed, len(bank)))
    texts = random.Random(seed)
    conditioning = [triplet.conditioning for triplet in demo_triplets(TEXTS, seed)]
    optimizer = torch.optim.AdamW(projection.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    scale = model.get_parameter("logit_scale").exp().item()
    for step in range(STEPS):
        shown = torch.randint(len(images.embedding), (BATCH,))
        image = ImageStates(images.embedding[shown], images.tokens[shown].float())
        queries = _bare(method, projection, tower, image, texts.choices(conditioning, k=BATCH))
        loss = contrast(queries, image.embedding, scale)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            say(f"step {step:4d}  loss {loss.item():.3f}")
    return stored(projection.state_dict())


def demo_shape(model: nn.Module, tower: TextTower) -> BackboneShape:
    """The sizes of the built-in world's CLIP."""
    return BackboneShape(tower.config.embed_dim, tower.config.width, image_width(model))


def _bare(
    method: Method, projection: nn.Module, tower: TextTower, image: ImageStates, texts: list[str]
) -> Tensor:
    tokenizer = method.tokenizer(tower)
    reference = Reference.of_pictures(image.embedding, tower, tokenizer, image.tokens)
    return embed_composition(tower, tokenizer, method.bare(projection, reference, texts))


@torch.no_grad()
def embed_pictures(model: nn.Module, seed: int) -> ImageStates:
    """What a model gives for PICTURES scenes without held-out pairs; the states in fp16."""
    scenes = _scenes(seed)
    chunks: list[ImageStates] = []
    for _ in range(PICTURES // 256):
        pictures = [draw(scene, own) for scene, own in islice(scenes, 256)]
        chunks.append(image_states(model, pixels(pictures)))
    embedding = torch.cat([chunk.embedding for chunk in chunks])
    return ImageStates(embedding, torch.cat([chunk.tokens.half() for chunk in chunks]))


def _scenes(seed: int) -> Iterator[tuple[Scene, int]]:
    """The scenes of `embed_pictures`, each with the seed of its picture; endless."""
    rng = random.Random(seed)
    while True:
        yield draw_training_scene(rng), rng.randrange(1 << 30)


@torch.no_grad()
def _embed_captions(tower: TextTower, seed: int, count: int) -> Tensor:
    """[count, embed_dim] of a caption for each of the first pictures."""
    words = random.Random(seed)
    texts = [caption(scene, words) for scene, _ in islice(_scenes(seed), count)]
    tokenizer = Tokenizer(tower.config.context_length)
    return torch.cat([tower(tower.trimmed(part)) for part in tokenizer.encode(texts).split(256)])
