"""Scenes of the built-in world: a few shapes on a ground, described by attributes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

SHAPES = (
    "circle",
    "square",
    "triangle",
    "star",
    "heart",
    "diamond",
    "cross",
    "ring",
    "hexagon",
    "moon",
)
COLOURS = ("red", "blue", "green", "yellow", "orange", "purple", "pink", "brown")
SIZES = ("small", "medium", "large")
COUNTS = (1, 2, 3)
TEXTURES = ("solid", "striped", "dotted", "outlined")
GROUNDS = ("white", "black", "grey", "sandy")
SIDES = ("left", "right", "above", "below")
SIDE_SHARE = 0.35

FAMILIES = (
    "colour",
    "shape",
    "size",
    "count",
    "texture",
    "ground",
    "add",
    "remove",
    "side",
    "two",
)
"""Kinds of modification; `two` changes two attributes at once."""


@dataclass(frozen=True, order=True)
class SideObject:
    """A small plain object beside the main ones."""

    shape: str
    colour: str
    side: str


@dataclass(frozen=True)
class Scene:
    """One to three equal objects on a ground, perhaps with a side object."""

    shape: str
    colour: str
    size: str
    count: int
    texture: str
    ground: str
    beside: SideObject | None = None

    @property
    def pair(self) -> tuple[str, str]:
        """Shape and colour of the main objects."""
        return self.shape, self.colour

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Shape and colour of every object."""
        yield self.pair
        if self.beside:
            yield self.beside.shape, self.beside.colour


HELD_OUT = frozenset(
    (shape, colour)
    for i, shape in enumerate(SHAPES)
    for j, colour in enumerate(COLOURS)
    if (3 * i + j) % 5 == 0
)
"""16 of the 80 (shape, colour) pairs; no training scene shows one of them."""


def is_training(scene: Scene) -> bool:
    """Whether a scene shows no held-out pair."""
    return HELD_OUT.isdisjoint(scene.pairs())


def draw_scene(rng: random.Random) -> Scene:
    """Any scene, uniformly."""
    return Scene(
        rng.choice(SHAPES),
        rng.choice(COLOURS),
        rng.choice(SIZES),
        rng.choice(COUNTS),
        rng.choice(TEXTURES),
        rng.choice(GROUNDS),
        draw_side_object(rng) if rng.random() < SIDE_SHARE else None,
    )


def draw_side_object(rng: random.Random) -> SideObject:
    """Any side object, uniformly."""
    return SideObject(rng.choice(SHAPES), rng.choice(COLOURS), rng.choice(SIDES))


def draw_training_scene(rng: random.Random) -> Scene:
    """A scene without held-out pairs."""
    while not is_training(scene := draw_scene(rng)):
        pass
    return scene
