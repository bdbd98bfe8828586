"""Composed queries of the built-in world, and the gallery they search."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from PIL import Image

from rtd_adapters.demo.captions import full_caption
from rtd_adapters.demo.modifications import SIMPLE, modify
from rtd_adapters.demo.render import draw
from rtd_adapters.demo.scenes import (
    FAMILIES,
    HELD_OUT,
    Scene,
    draw_scene,
    draw_training_scene,
    is_training,
)

PER_FAMILY = 100
DEV_SEED, FINAL_SEED = 1_000, 2_000
"""Tuning looked at the first; figures in the docs come from the second."""


@dataclass(frozen=True)
class QuerySet:
    """Queries over a gallery that holds every reference, every target and their look-alikes."""

    gallery: tuple[Scene, ...]
    """All different."""
    seeds: tuple[int, ...]
    """Of the gallery's pictures."""
    references: list[int]
    """Gallery index of each query's reference."""
    texts: list[str]
    """Each query's conditioning text."""
    targets: list[int]
    """Gallery index of each query's target, the only right answer."""
    target_captions: list[str]
    """A caption that names every attribute of the target."""
    families: list[str]
    """Kind of modification."""

    def images(self) -> Iterator[Image.Image]:
        """The gallery's pictures, drawn on the way."""
        return map(draw, self.gallery, self.seeds)


@lru_cache(maxsize=4)
def held_out_queries(seed: int = FINAL_SEED, per_family: int = PER_FAMILY) -> QuerySet:
    """Targets show held-out (shape, colour) pairs, texts are held-out phrasings."""
    return _query_set(seed, per_family, held_out=True)


@lru_cache(maxsize=4)
def seen_queries(seed: int = FINAL_SEED, per_family: int = PER_FAMILY) -> QuerySet:
    """Pairs and phrasings of training; the scenes may have occurred there in other pictures."""
    return _query_set(seed, per_family, held_out=False)


def _query_set(seed: int, per_family: int, *, held_out: bool) -> QuerySet:
    rng = random.Random(seed)
    place: dict[Scene, int] = {}
    drawn = QuerySet((), (), [], [], [], [], [])
    for family in FAMILIES:
        wanted = len(drawn.texts) + per_family
        while len(drawn.texts) < wanted:
            reference = draw_scene(rng) if held_out else draw_training_scene(rng)
            change = modify(reference, family, rng, held_out=held_out)
            if change is None or not _fits(change.target, held_out) or change.target in place:
                continue
            for scene in (reference, change.target, _look_alike(change.target, reference, rng)):
                place.setdefault(scene, len(place))
            drawn.references.append(place[reference])
            drawn.texts.append(change.text)
            drawn.targets.append(place[change.target])
            drawn.target_captions.append(full_caption(change.target, rng))
            drawn.families.append(family)
    seeds = tuple(rng.randrange(1 << 30) for _ in place)
    return replace(drawn, gallery=tuple(place), seeds=seeds)


def _look_alike(target: Scene, reference: Scene, rng: random.Random) -> Scene:
    """The target with one more change, which no text asked for: a hard distractor."""
    while True:
        change = modify(target, rng.choice(sorted(SIMPLE)), rng, held_out=False)
        if change is not None and change.target != reference:
            return change.target


def _fits(target: Scene, held_out: bool) -> bool:
    return target.pair in HELD_OUT if held_out else is_training(target)
