"""Trackers, to which accelerate reports a run: it passes over those it cannot reach in silence."""

from __future__ import annotations

from pathlib import Path

from rtd_adapters.errors import UsageError

PACKAGES = {"tensorboard": "'rtd-adapters[tensorboard]'", "comet_ml": "comet-ml"}
"""What to install, where it is not called as the tracker is."""


def require_tracker(name: str, folder: Path | None) -> None:
    """Refuse a tracker that would log nothing.

    Args:
        name: as accelerate knows it.
        folder: of the run, in which some trackers write.

    Raises:
        UsageError: there is no such tracker, its package is not installed, or it needs a folder.
    """
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    known = sorted(map(str, LOGGER_TYPE_TO_CLASS))
    ready = set(map(str, get_available_trackers()))
    if name not in known:
        raise UsageError(f"Unknown tracker {name!r}. Use one of {', '.join(known)}.")
    if name not in ready:
        here = f"Installed: {', '.join(sorted(ready))}." if ready else "No other is installed."
        raise UsageError(
            f"The tracker {name} is not installed: pip install {PACKAGES.get(name, name)}. {here}"
        )
    if folder is None and LOGGER_TYPE_TO_CLASS[name].requires_logging_directory:
        raise UsageError(f"The tracker {name} writes into the run folder; name one (--run-dir).")
