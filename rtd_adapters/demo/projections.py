"""The methods' miniature projections for the built-in world."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rtd_adapters.demo.models import DemoClip
from rtd_adapters.errors import UsageError

FEW = {"batch_size": 128, "learning_rate": 1e-3, "warmup_steps": 0, "schedule": "constant"}
PROJECTION_RECIPES: dict[str, dict[str, Any]] = {
    "lincir": FEW
    | {
        "steps": 1_500,
        "learning_rate": 2e-3,
        "warmup_steps": 20,
        "schedule": "cosine",
        "noise_scale": 2.5,
    },
    "pic2word": FEW | {"steps": 200, "weight_decay": 0.01},
    "searle": FEW | {"steps": 200},
}
"""Settings with which projections are trained here."""


def projection_path(clip: DemoClip, method: str) -> Path:
    """The projection of a method that is shipped for one of the world's CLIPs.

    Raises:
        UsageError: there is none.
    """
    path = clip.folder / f"{method}.safetensors"
    if not path.is_file():
        shipped = set(clip.folder.glob("*.safetensors")) - {clip.weights}
        known = ", ".join(sorted(other.stem for other in shipped))
        raise UsageError(
            f"{clip.name} has no projection for {method!r} (it has: {known}). Pass --projection, "
            f"or train one: python -m rtd_adapters.demo.build --world {clip.folder.name} "
            f"--projection {method}."
        )
    return path
