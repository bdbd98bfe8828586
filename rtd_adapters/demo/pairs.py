"""Pictures of scenes beside a neighbour that differs by one modification, in batches."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rtd_adapters.demo.render import draw
from rtd_adapters.demo.scenes import Scene
from rtd_adapters.demo.triplets import training_changes


@dataclass
class Pairs:
    """Scenes beside a neighbour that differs by one modification."""

    images: Tensor
    """Bytes [P, 2, 3, 64, 64]."""
    scenes: list[tuple[Scene, Scene]]


def draw_pairs(count: int, seed: int) -> Pairs:
    """Training scenes, each beside a neighbour that differs by one modification."""
    rng = random.Random(seed)
    changes = training_changes(rng)
    scenes = [(scene, change.target) for scene, change in (next(changes) for _ in range(count))]
    rows = [torch.stack([_raw(scene, rng.randrange(1 << 30)) for scene in pair]) for pair in scenes]
    return Pairs(torch.stack(rows), scenes)


def batches(pairs: Pairs, size: int, rng: random.Random) -> Iterator[list[int]]:
    """Endless places of `size` pairs, each pair once an epoch.

    Neighbours share a batch, so that every batch holds hard negatives.
    """
    order: list[int] = []
    while True:
        if len(order) < size:
            order = rng.sample(range(len(pairs.scenes)), len(pairs.scenes))
        chosen, order = order[:size], order[size:]
        yield chosen


def _raw(scene: Scene, seed: int) -> Tensor:
    return torch.from_numpy(np.array(draw(scene, seed))).permute(2, 0, 1)
