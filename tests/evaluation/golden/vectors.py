"""Embeddings that need no model: of a picture's pixels, and of a prompt's tokens and its picture.

Entries are whole numbers, and every vector has the length 1024. So unit vectors and scores are
exact in float32 and float64 alike, in whatever order they are summed, and ties are ties everywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from math import isqrt

from PIL import Image

OWN, FILLED = 16, 4
WIDTH = OWN + 2 * FILLED
"""16 entries say something; four make up a picture's length, and the last four a query's."""
LENGTH = 1024


def digest(picture: Image.Image) -> bytes:
    """Of the size and the RGB pixels."""
    shown = picture.convert("RGB")
    return hashlib.sha256(repr(shown.size).encode() + shown.tobytes()).digest()


def image_vector(picture: Image.Image) -> list[int]:
    drawn = digest(picture)
    own = [int.from_bytes(drawn[2 * n : 2 * n + 2], "big") % 511 - 255 for n in range(OWN)]
    return [*own, *_filling(own), *[0] * FILLED]


def query_vector(tokens: Sequence[int], reference: Sequence[int]) -> list[int]:
    """Half the reference, and as much from a prompt's token ids; padding does not count."""
    kept = [int(token) for token in tokens if token]
    drawn = hashlib.sha256(repr(kept).encode()).digest()
    own = [int(old) // 2 + drawn[n] % 255 - 127 for n, old in enumerate(reference[:OWN])]
    return [*own, *[0] * FILLED, *_filling(own)]


def _filling(own: Sequence[int]) -> tuple[int, ...]:
    """Four whole numbers that bring a vector to its length; there always are (Lagrange)."""
    rest = LENGTH**2 - sum(value * value for value in own)
    for a in range(isqrt(rest), -1, -1):
        for b in range(isqrt(rest - a * a), -1, -1):
            left = rest - a * a - b * b
            for c in range(isqrt(left), -1, -1):
                d = isqrt(left - c * c)
                if c * c + d * d == left:
                    return a, b, c, d
    raise ValueError(own)
