"""What workers do in the tests of `ahead`, and a process that starts one and is killed."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path

from rtd_adapters.compute.ahead import Ahead


def squared(number):
    if number == 13:
        raise ValueError("thirteen")
    return number * number


def large(folder, number):
    (Path(folder) / str(number)).touch()
    return bytes(1 << 20)


def dies(number):
    if number == 3:
        print("out of sorts", file=sys.stderr, flush=True)
        os._exit(7)
    return number


def start_and_be_killed(folder):
    ahead = Ahead(squared, lambda: partial(large, folder), 1000, 1, len, patience=60)
    ahead(0)
    print(ahead._workers[0]._process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
