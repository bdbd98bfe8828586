"""Draws scenes: 64 x 64 pictures, each a pure function of scene and seed."""

from __future__ import annotations

import math
import random

from PIL import Image, ImageDraw

from rtd_adapters.demo.scenes import Scene

CANVAS = 128  # drawn large and reduced, which smooths the edges
REDUCE = 2
RGB = {
    "red": (214, 40, 40),
    "blue": (38, 84, 204),
    "green": (44, 152, 62),
    "yellow": (240, 208, 40),
    "orange": (240, 134, 28),
    "purple": (124, 58, 172),
    "pink": (242, 130, 178),
    "brown": (126, 78, 42),
}
GROUND_RGB = {
    "white": (246, 246, 244),
    "black": (24, 24, 28),
    "grey": (136, 140, 144),
    "sandy": (222, 200, 158),
}
RADIUS = {"small": 14, "medium": 23, "large": 34}
SHRINK = {1: 1.0, 2: 0.8, 3: 0.58}
SPREAD = {1: (0.5,), 2: (0.27, 0.73), 3: (0.19, 0.5, 0.81)}
BESIDE_RADIUS = 10
BESIDE_MARGIN = 14
BESIDE_ROOM = 30
JITTER = 3
SHADE = 16
POINT_ANGLES = {"triangle": 3, "hexagon": 6}

Box = tuple[float, float, float, float]


def draw(scene: Scene, seed: int) -> Image.Image:
    """A 64 x 64 RGB picture; the seed moves, scales and shades the objects a little."""
    rng = random.Random(seed)
    ground = _shaded(GROUND_RGB[scene.ground], rng, SHADE // 2)
    canvas = Image.new("RGB", (CANVAS, CANVAS), ground)
    left, top, right, bottom = _main_region(scene)
    scale = min(right - left, bottom - top) / CANVAS * SHRINK[scene.count]
    radius = RADIUS[scene.size] * scale * rng.uniform(0.93, 1.07)
    colour = _shaded(RGB[scene.colour], rng)
    y = (top + bottom) / 2 + rng.uniform(-JITTER, JITTER)
    for share in SPREAD[scene.count]:
        x = left + share * (right - left) + rng.uniform(-JITTER, JITTER)
        _paint(canvas, scene.shape, scene.texture, colour, ground, (x, y), radius)
    if scene.beside:
        place = _beside_place(scene.beside.side, rng)
        shade = _shaded(RGB[scene.beside.colour], rng)
        _paint(canvas, scene.beside.shape, "solid", shade, ground, place, BESIDE_RADIUS)
    return canvas.reduce(REDUCE)


def _main_region(scene: Scene) -> Box:
    """Where the main objects may stand: everything, or what a side object leaves."""
    side = scene.beside.side if scene.beside else None
    return (
        BESIDE_ROOM if side == "left" else 0,
        BESIDE_ROOM if side == "above" else 0,
        CANVAS - (BESIDE_ROOM if side == "right" else 0),
        CANVAS - (BESIDE_ROOM if side == "below" else 0),
    )


def _beside_place(side: str, rng: random.Random) -> tuple[float, float]:
    middle = CANVAS / 2 + rng.uniform(-2 * JITTER, 2 * JITTER)
    near, far = BESIDE_MARGIN, CANVAS - BESIDE_MARGIN
    return {
        "left": (near, middle),
        "right": (far, middle),
        "above": (middle, near),
        "below": (middle, far),
    }[side]


def _paint(
    canvas: Image.Image,
    shape: str,
    texture: str,
    colour: tuple[int, ...],
    ground: tuple[int, ...],
    centre: tuple[float, float],
    radius: float,
) -> None:
    mask = _mask(shape, centre, radius)
    if texture == "outlined":
        canvas.paste(colour, mask=mask)
        canvas.paste(ground, mask=_mask(shape, centre, radius * 0.68))
        return
    canvas.paste(colour, mask=mask)
    if texture == "solid":
        return
    light = tuple((255 * 3 + value) // 4 for value in colour)
    pattern = _stripes(centre, radius) if texture == "striped" else _dots(centre, radius)
    canvas.paste(light, mask=Image.composite(pattern, Image.new("1", canvas.size), mask))


def _stripes(centre: tuple[float, float], radius: float) -> Image.Image:
    mask, step = Image.new("1", (CANVAS, CANVAS)), max(5.0, radius / 2.4)
    pen, top = ImageDraw.Draw(mask), centre[1] - radius + step / 2
    while top < centre[1] + radius:
        pen.rectangle((0, top, CANVAS, top + step * 0.45), fill=1)
        top += step
    return mask


def _dots(centre: tuple[float, float], radius: float) -> Image.Image:
    mask, step = Image.new("1", (CANVAS, CANVAS)), max(6.0, radius / 2.2)
    pen = ImageDraw.Draw(mask)
    for row in range(-3, 4):
        for column in range(-3, 4):
            x = centre[0] + (column + 0.5 * (row % 2)) * step
            y = centre[1] + row * step * 0.87
            pen.ellipse((x - step / 4, y - step / 4, x + step / 4, y + step / 4), fill=1)
    return mask


def _mask(shape: str, centre: tuple[float, float], radius: float) -> Image.Image:
    mask = Image.new("1", (CANVAS, CANVAS))
    pen, (x, y), r = ImageDraw.Draw(mask), centre, radius
    if shape in ("circle", "ring", "moon"):
        pen.ellipse((x - r, y - r, x + r, y + r), fill=1)
        if shape == "ring":
            pen.ellipse((x - r / 2, y - r / 2, x + r / 2, y + r / 2), fill=0)
        if shape == "moon":
            pen.ellipse((x - r * 0.35, y - r, x + r * 1.45, y + r * 0.8), fill=0)
    elif shape == "heart":
        h = r * 0.55
        pen.ellipse((x - 2 * h, y - r * 0.8, x, y - r * 0.8 + 2 * h), fill=1)
        pen.ellipse((x, y - r * 0.8, x + 2 * h, y - r * 0.8 + 2 * h), fill=1)
        pen.polygon([(x - 1.9 * h, y), (x + 1.9 * h, y), (x, y + r)], fill=1)
    elif shape == "cross":
        pen.rectangle((x - r / 3, y - r, x + r / 3, y + r), fill=1)
        pen.rectangle((x - r, y - r / 3, x + r, y + r / 3), fill=1)
    else:
        pen.polygon(_corners(shape, x, y, r), fill=1)
    return mask


def _corners(shape: str, x: float, y: float, r: float) -> list[tuple[float, float]]:
    if shape == "square":
        s = r * 0.85
        return [(x - s, y - s), (x + s, y - s), (x + s, y + s), (x - s, y + s)]
    if shape == "diamond":
        return [(x, y - r), (x + r * 0.65, y), (x, y + r), (x - r * 0.65, y)]
    if shape == "star":
        radii = [r if point % 2 == 0 else r * 0.42 for point in range(10)]
    else:
        radii = [r] * POINT_ANGLES[shape]
    turns = [2 * math.pi * i / len(radii) - math.pi / 2 for i in range(len(radii))]
    return [
        (x + length * math.cos(turn), y + length * math.sin(turn))
        for length, turn in zip(radii, turns, strict=True)
    ]


def _shaded(colour: tuple[int, int, int], rng: random.Random, by: int = SHADE) -> tuple[int, ...]:
    shift = rng.randint(-by, by)
    return tuple(min(255, max(0, value + shift)) for value in colour)
