"""Modifications: what turns one scene into another, and how a person would ask for it.

Texts complete "a photo of $ that ...". Training and held-out phrasings are disjoint.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

from rtd_adapters.demo.scenes import (
    COLOURS,
    COUNTS,
    GROUNDS,
    SHAPES,
    SIDES,
    SIZES,
    TEXTURES,
    Scene,
    draw_side_object,
)

SIMPLE: dict[str, tuple[Any, ...]] = {
    "colour": COLOURS,
    "shape": SHAPES,
    "size": SIZES,
    "count": COUNTS,
    "texture": TEXTURES,
    "ground": GROUNDS,
}
NUMBERS = {1: "one", 2: "two", 3: "three"}
PLACES = {
    "left": "on the left",
    "right": "on the right",
    "above": "above",
    "below": "below",
}

PHRASINGS = {
    "colour": (
        ("is {}", "is {} instead", "has a {} colour", "comes in {}"),
        ("is now {}", "is coloured {}", "has turned {}"),
    ),
    "shape": (
        ("is a {}", "is a {} instead", "has the shape of a {}", "shows a {}"),
        ("is now a {}", "has become a {}"),
    ),
    "size": (
        ("is {}", "is {} in size", "has a {} size"),
        ("is now {}", "has become {}"),
    ),
    "count": (
        ("shows {}", "has {} of them", "is a group of {}", "comes in {}"),
        ("now shows {}", "has {} objects"),
    ),
    "texture": (
        ("is {}", "is {} instead", "has a {} look"),
        ("is now {}", "has a {} pattern"),
    ),
    "ground": (
        ("is on a {} background", "has a {} background", "is on {}"),
        ("is now on a {} background", "stands before a {} background"),
    ),
    "add": (
        ("has a {} {} {}", "shows a {} {} {}", "comes with a {} {} {}"),
        ("now has a {} {} {}", "has another object, a {} {} {}"),
    ),
    "remove": (
        ("has no {} {}", "is without the {} {}", "does not show the {} {}"),
        ("no longer has the {} {}", "is now without a {} {}"),
    ),
    "side": (
        ("has the other object {}", "shows the other object {}"),
        ("now has the other object {}", "has its other object {}"),
    ),
}
"""Family -> (training phrasings, held-out phrasings)."""
JOINTS = ((" and ", ", and "), (" but also ", " while it "))
"""How two changes are joined: (training, held-out)."""


@dataclass(frozen=True)
class Modification:
    """One request and its result."""

    family: str
    text: str
    target: Scene
    changed: frozenset[str]
    """Attributes of `Scene` that differ."""


def modify(scene: Scene, family: str, rng: random.Random, *, held_out: bool) -> Modification | None:
    """A random modification of that family, or None where the scene allows none.

    Args:
        scene: the reference.
        family: one of `scenes.FAMILIES`.
        rng: decides result and phrasing.
        held_out: use the held-out phrasings.
    """
    if family == "two":
        return _modify_twice(scene, rng, held_out)
    if family in SIMPLE:
        return _change_attribute(scene, family, rng, held_out)
    if (scene.beside is None) != (family == "add"):
        return None
    return _change_beside(scene, family, rng, held_out)


def _change_attribute(
    scene: Scene, family: str, rng: random.Random, held_out: bool
) -> Modification:
    value = rng.choice([other for other in SIMPLE[family] if other != getattr(scene, family)])
    word = NUMBERS[value] if family == "count" else value
    text = _phrase(family, rng, held_out).format(word)
    target = replace(scene, **{family: value})
    return Modification(family, text, target, frozenset({family}))


def _change_beside(scene: Scene, family: str, rng: random.Random, held_out: bool) -> Modification:
    old, phrase = scene.beside, _phrase(family, rng, held_out)
    if family == "add" or old is None:
        new = draw_side_object(rng)
        text = phrase.format(new.colour, new.shape, PLACES[new.side])
        target = replace(scene, beside=new)
    elif family == "remove":
        text, target = phrase.format(old.colour, old.shape), replace(scene, beside=None)
    else:
        side = rng.choice([other for other in SIDES if other != old.side])
        text = phrase.format(PLACES[side])
        target = replace(scene, beside=replace(old, side=side))
    return Modification(family, text, target, frozenset({"beside"}))


def _modify_twice(scene: Scene, rng: random.Random, held_out: bool) -> Modification:
    first_family, second_family = rng.sample(sorted(SIMPLE), 2)
    first = _change_attribute(scene, first_family, rng, held_out)
    second = _change_attribute(first.target, second_family, rng, held_out)
    text = first.text + rng.choice(JOINTS[held_out]) + second.text
    return Modification("two", text, second.target, first.changed | second.changed)


def _phrase(family: str, rng: random.Random, held_out: bool) -> str:
    return rng.choice(PHRASINGS[family][held_out])
