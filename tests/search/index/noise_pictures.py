"""Pictures that are drawn in no time and are all different."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image


def draw_noise(folder: Path, names: Iterable[str]) -> None:
    """Make a folder of JPEGs of those names."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    for name in names:
        noise = draw.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((64, 48)).save(folder / name)
