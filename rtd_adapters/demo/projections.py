"""The methods' miniature projections for the built-in world."""

from __future__ import annotations

from pathlib import Path

from rtd_adapters.errors import UsageError

FOLDER = Path(__file__).parent / "weights"


def projection_path(method: str) -> Path:
    """The shipped projection of a method.

    Raises:
        UsageError: the built-in world has none for it.
    """
    path = FOLDER / f"{method}.safetensors"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.safetensors") if p.stem != "clip"))
        raise UsageError(
            f"the built-in world has no projection for {method!r} (it has: {known}). "
            "Pass --projection, or train one: python -m rtd_adapters.demo.build --projection "
            f"{method}."
        )
    return path
