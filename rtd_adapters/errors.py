"""The failures a user can expect: each message says what was wrong, where, and what to do next."""

from __future__ import annotations

import math
from collections.abc import Sequence

INTERRUPTED = 130
"""Exit code of a process that Ctrl-C ended, as shells count."""


class RtdError(Exception):
    """An expected failure. The command line prints its message alone and exits with `exit_code`."""

    exit_code = 1


class UsageError(RtdError):
    """The request itself is wrong, whatever the state of the files: an unknown method or option."""

    exit_code = 2


class FileError(RtdError):
    """A file is missing, unreadable, damaged, in the way, or cannot be written."""


class MissingFilesError(FileError):
    """Files that others name are not there."""

    def __init__(self, message: str, missing: Sequence[str]) -> None:
        super().__init__(message)
        self.missing = tuple(missing)
        """All of them, as they are named."""

    def __reduce__(self) -> tuple[type, tuple[str, Sequence[str]]]:
        """How it comes to another process."""
        return type(self), (str(self), self.missing)


class BackboneError(RtdError):
    """A backbone or a projection does not exist, does not load, or does not fit its partner."""


class TripletError(RtdError):
    """Captions or triplets do not have the promised form."""


class PatchError(RtdError):
    """A patch is damaged or does not belong to the model it is applied to."""


class EvaluationError(RtdError):
    """An evaluation found what cannot be reported or submitted."""


class TrainingError(RtdError):
    """A training run cannot start, cannot go on, or cannot be resumed."""


def require_number(
    name: str,
    value: float,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
) -> None:
    """Check that a setting is a number in its range; NaN and infinity are in none.

    Args:
        name: of its option, such as --max-grad-norm, for the message.
        value: what was asked for.
        least, above, most, below: its bounds; what is above or below one is not equal to it.

    Raises:
        UsageError: it is not.
    """
    if math.isfinite(value) and least <= value <= most and above < value < below:
        return
    bounds = {"at least": least, "above": above, "at most": most, "below": below}
    words = [f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound)]
    finite = [] if math.isfinite(value) else ["finite"]
    wanted = " and ".join([*finite, *words])
    raise UsageError(f"{name} is {value}; it must be {wanted}.")


def first_line(error: BaseException) -> str:
    """What a library's exception says, in a line: its type where it says nothing."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
