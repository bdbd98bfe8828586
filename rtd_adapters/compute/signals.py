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
    raised: list[BaseException] = []

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != ours:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        for other in before.keys() & set(ENDING):  # a second must not break the tidying up
            signal.signal(other, signal.SIG_IGN)
        raised.append(Ended(number))
        raise raised[-1]

    def interrupt(number: int, frame: FrameType | None) -> None:
        raised.append(KeyboardInterrupt())
        raise raised[-1]

    handlers: dict[int, tuple[Any, Any]] = dict.fromkeys(ENDING, (signal.SIG_DFL, end))
    handlers[signal.SIGINT] = (signal.default_int_handler, interrupt)
    for number, (usual, handler) in handlers.items():
        if signal.getsignal(number) == usual:
            before[number] = signal.signal(number, handler)
    try:
        yield
    except Exception as error:
        # Native code may put an error of its own in the place of what a handler raised inside it.
        if raised:
            raise raised[-1] from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
