"""What a process does that works values out ahead (`ahead`)."""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from multiprocessing.connection import Connection

from rtd_adapters.compute.elsewhere import portable

READY, MADE, FAILED = "ready", "made", "failed"
"""What a worker sends: that it can begin, a value, or why there is none."""


def run(orders: int, answers: int, needed: int) -> None:
    """Work values out as ordered, until the other end of the pipes is gone.

    Args:
        orders: descriptor of the pipe by which a range comes.
        answers: of the one by which values go.
        needed: of a file with the pickled function.
    """
    source, sink = Connection(orders, writable=False), Connection(answers, readable=False)

    def send(kind: str, value: object) -> None:
        sink.send_bytes(pickle.dumps((kind, value), protocol=pickle.HIGHEST_PROTOCOL))

    try:
        try:
            with os.fdopen(needed, "rb") as stream:
                make = pickle.load(stream)
            if "torch" in sys.modules:
                sys.modules["torch"].set_num_threads(1)
            send(READY, None)
            for number in range(*_order(source)):
                send(MADE, make(number))
        except (EOFError, BrokenPipeError):
            return
        except Exception as error:
            send(FAILED, (portable(error), traceback.format_exc()))
        source.recv()  # comes never: the other end is closed
    except (EOFError, OSError):
        return


def _order(source: Connection) -> tuple[int, int, int]:
    """Start, end and step of a range."""
    first, step, end = source.recv()
    return first, end, step
