"""Text triplets of the built-in world, from the training grammar alone."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator

from rtd_adapters.demo.captions import caption, draw_mentions
from rtd_adapters.demo.modifications import Modification, modify
from rtd_adapters.demo.scenes import FAMILIES, Scene, draw_training_scene, is_training
from rtd_adapters.triplets import Triplet, TripletSet


def demo_triplets(count: int, seed: int) -> list[Triplet]:
    """`count` triplets without held-out pairs or phrasings, the same for the same seed."""
    rng = random.Random(seed)
    made = []
    for reference, change in training_changes(rng):
        mentions = draw_mentions(rng, always=change.changed)
        made.append(
            Triplet(
                caption(reference, rng, mentions),
                change.text,
                caption(change.target, rng, mentions),
            )
        )
        if len(made) == count:
            break
    return made


def training_set(count: int, seed: int) -> TripletSet:
    """The same triplets, with their origin and their hash."""
    triplets = demo_triplets(count, seed)
    sha256 = hashlib.sha256(repr(triplets).encode()).hexdigest()
    return TripletSet(triplets, "built-in world", sha256)


def training_changes(rng: random.Random) -> Iterator[tuple[Scene, Modification]]:
    """Endless (scene, modification) pairs without held-out pairs, in training phrasings."""
    while True:
        scene = draw_training_scene(rng)
        change = modify(scene, rng.choice(FAMILIES), rng, held_out=False)
        if change and is_training(change.target):
            yield scene, change
