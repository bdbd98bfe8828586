"""What another process tells of its failure, and of its end."""

from __future__ import annotations

import pickle
import signal


class Elsewhere(Exception):
    """The traceback of another process, as the cause of what it raised."""


def portable(error: Exception) -> Exception:
    """An error, or another one in its words if it does not survive the way to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def ending(code: int | None) -> str:
    """How a process ended, in words."""
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit code {code}"
