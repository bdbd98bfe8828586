"""Where what is worth keeping between runs is kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """`$RTD_CACHE`, or `rtd-adapters` in the user's cache folder."""
    chosen = os.environ.get("RTD_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "rtd-adapters"
