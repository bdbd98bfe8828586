"""Captions of scenes, with synonyms, word orders and attributes left out at random."""

from __future__ import annotations

import random

from rtd_adapters.demo.scenes import Scene

SYNONYMS = {
    "red": ("red", "crimson", "scarlet"),
    "blue": ("blue", "navy", "azure"),
    "green": ("green", "emerald", "lime"),
    "yellow": ("yellow", "golden", "lemon"),
    "orange": ("orange", "amber", "tangerine"),
    "purple": ("purple", "violet", "lilac"),
    "pink": ("pink", "rose", "magenta"),
    "brown": ("brown", "chocolate", "chestnut"),
    "circle": ("circle", "disc", "ball"),
    "square": ("square", "box", "block"),
    "triangle": ("triangle", "wedge", "pyramid"),
    "star": ("star", "five-pointed star", "asterisk"),
    "heart": ("heart", "love heart", "valentine"),
    "diamond": ("diamond", "rhombus", "kite"),
    "cross": ("cross", "plus sign", "crucifix"),
    "ring": ("ring", "hoop", "donut"),
    "hexagon": ("hexagon", "honeycomb cell", "six-sided shape"),
    "moon": ("moon", "crescent", "half moon"),
    "small": ("small", "tiny", "little"),
    "medium": ("medium", "mid-sized", "average"),
    "large": ("large", "big", "huge"),
    "solid": ("solid", "plain", "filled"),
    "striped": ("striped", "banded", "lined"),
    "dotted": ("dotted", "spotted", "speckled"),
    "outlined": ("outlined", "hollow", "empty"),
    "white": ("white", "snowy", "pale"),
    "black": ("black", "dark", "night"),
    "grey": ("grey", "foggy", "ashen"),
    "sandy": ("sandy", "beige", "desert"),
}
COUNT_WORDS = {
    1: ("a", "one", "a single"),
    2: ("two", "a pair of"),
    3: ("three", "a group of three"),
}
PREFIXES = ("", "a picture of ", "a photo of ", "an image of ", "a drawing of ")
CLAUSES = {
    "colour": ("that is {}", "that has a {} colour"),
    "texture": ("that is {}", "that has a {} look"),
    "size": ("that is {}", "that has a {} size"),
}
GROUND = ("on a {} background", "with a {} background", "on {}")
BESIDE = {
    "left": ("with a {} {} on the left", "and a {} {} to the left"),
    "right": ("with a {} {} on the right", "and a {} {} to the right"),
    "above": ("with a {} {} above", "below a {} {}"),
    "below": ("with a {} {} below", "above a {} {}"),
}
MENTION = 0.8
CLAUSE_SHARE = 0.35
OPTIONAL = ("colour", "size", "texture", "ground", "beside")


def draw_mentions(rng: random.Random, always: frozenset[str] = frozenset()) -> frozenset[str]:
    """Attributes that a caption names: each optional one mostly, those in `always` surely."""
    return frozenset(a for a in OPTIONAL if a in always or rng.random() < MENTION)


def caption(scene: Scene, rng: random.Random, mentions: frozenset[str] | None = None) -> str:
    """A sentence about a scene; shape and count are always named.

    Args:
        scene: what is described.
        rng: decides words and order.
        mentions: optional attributes to name; drawn by default.
    """
    mentions = draw_mentions(rng) if mentions is None else mentions
    adjectives: list[str] = []
    clauses: list[str] = []
    for attribute in ("size", "texture", "colour"):
        if attribute not in mentions:
            continue
        word = _word(getattr(scene, attribute), rng)
        if not clauses and rng.random() < CLAUSE_SHARE:
            clauses.append(rng.choice(CLAUSES[attribute]).format(word))
        else:
            adjectives.append(word)
    parts = [rng.choice(COUNT_WORDS[scene.count]), *adjectives, _noun(scene, rng), *clauses]
    if "ground" in mentions:
        parts.append(rng.choice(GROUND).format(_word(scene.ground, rng)))
    if "beside" in mentions and scene.beside:
        beside = scene.beside
        words = _word(beside.colour, rng), _word(beside.shape, rng)
        parts.append(rng.choice(BESIDE[beside.side]).format(*words))
    return rng.choice(PREFIXES) + " ".join(parts)


def full_caption(scene: Scene, rng: random.Random) -> str:
    """A sentence that names every attribute."""
    return caption(scene, rng, frozenset(OPTIONAL))


def plural(noun: str) -> str:
    """More than one of it."""
    return f"{noun}es" if noun.endswith(("s", "x")) else f"{noun}s"


def _noun(scene: Scene, rng: random.Random) -> str:
    word = _word(scene.shape, rng)
    return word if scene.count == 1 else plural(word)


def _word(value: str, rng: random.Random) -> str:
    return rng.choice(SYNONYMS[value])
