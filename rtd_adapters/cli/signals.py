"""A run that the system ends goes as an interrupted one does: tidied up, with a code of its own.

Of a process that dies by a signal, no `finally` runs: temporary files and locks would stay.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Ended(BaseException):
    """A signal asks the process to end. No handler of errors stops it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


@contextmanager
def signals_raised() -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP raise `Ended`, as Ctrl-C raises KeyboardInterrupt.

    A signal that is ignored (SIGHUP under nohup) stays so. Forked children die by it as ever.
    """
    ours = os.getpid()
    before: dict[int, Any] = {}

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != ours:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        for other in before:  # a second one must not break the tidying up
            signal.signal(other, signal.SIG_IGN)
        raise Ended(number)

    for number in ENDING:
        if signal.getsignal(number) == signal.SIG_DFL:
            before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
