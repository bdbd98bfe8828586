"""The methods' miniature projections for the built-in world."""

from __future__ import annotations

from pathlib import Path

from rtd_adapters.demo.models import DemoClip
from rtd_adapters.errors import UsageError


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
